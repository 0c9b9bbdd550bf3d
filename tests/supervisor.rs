//! A process that ends with its owner: a `sh` beside it, which waits on a pipe.
//!
//! Not a process manager: it starts one command, passes signals on and tells when it has ended.
//! Invariant: when the pipe closes, because the owner dropped it or died in whatever way, the
//! process is killed and its directory removed.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Arguments: directory, log file, command. Lines on standard input are names of signals. Nobody
/// but the shell itself has the command as a child, so its process id cannot be another's as long
/// as the shell waits for it; the watcher is stopped before that ends.
const SCRIPT: &str = r#"
directory=$1 log=$2
shift 2
exec 3<&0 </dev/null
"$@" >>"$log" 2>&1 3<&- &
process=$!
(
    while read -r signal; do kill -s "$signal" "$process"; done
    : >"$directory/abandoned"
    kill -s KILL "$process"
) <&3 2>/dev/null &
watcher=$!
exec 3<&-
wait "$process"
kill "$watcher" 2>/dev/null
if [ -e "$directory/abandoned" ]; then rm -rf "$directory"; fi
"#;

/// A running process with its shell.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Supervisor {
    /// Starts `command` with its output appended to `log`. `directory` is removed when the owner
    /// abandons the process.
    pub(crate) fn start(command: &[String], directory: &Path, log: &Path) -> io::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .args([directory, log])
            .args(command)
            // A terminal's Ctrl-C would end the shell first, and then nobody ends the process.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = shell.stdin.take();
        Ok(Supervisor { shell, pipe })
    }

    /// Sends the process a signal, named without `SIG`. Of one that has ended nothing comes.
    pub(crate) fn signal(&mut self, name: &str) {
        if let Some(pipe) = &mut self.pipe {
            // A broken pipe means that the process has ended, which whoever waits for it sees.
            drop(pipe.write_all(format!("{name}\n").as_bytes()));
        }
    }

    /// Whether the process has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.shell.try_wait(), Ok(Some(_)))
    }

    /// Waits for the process to end; false if it did not.
    pub(crate) fn ends_within(&mut self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        while !self.has_ended() {
            if Instant::now() > deadline {
                return false;
            }
            // There is no wait with a deadline for a child process in the standard library.
            thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.pipe.take());
        drop(self.shell.wait());
    }
}
