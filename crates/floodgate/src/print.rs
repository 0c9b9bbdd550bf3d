//! What goes to standard output, and numbers as people read them.

pub(crate) use drill::report::grouped;

/// Prints a line. A reader that has gone away ends the process quietly, as a pipe does.
pub(crate) fn say(line: &str) {
    use std::io::Write;
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Says on standard error why the command failed.
#[allow(clippy::print_stderr, reason = "the last word of a failed command, through here alone")]
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("floodgate: {error:#}");
}

/// Minor units as yuan and fen.
pub(crate) fn money(fen: u128) -> String {
    format!("{}.{:02}", grouped(fen / 100), fen % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fen_are_told_as_yuan() {
        assert_eq!(money(123_456_789), "1,234,567.89");
        assert_eq!(money(5), "0.05");
    }
}
