// Prints the path of a Chromium from npm, unpacked: for machines whose package manager has none.
// `npm install --no-save @sparticuz/chromium` comes first.
import chromium from "@sparticuz/chromium";

process.stdout.write(`${await chromium.executablePath()}\n`);
