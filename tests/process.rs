//! The `floodgate` binary as a child process of a test.
//!
//! Not an expectation: it starts, signals, asks and collects what was said. Invariant: no child
//! outlives its guard, whichever way the owner ends: a `sh` beside each holds the reading end of a
//! pipe and kills the child when it closes. What a child said on standard error is in the panic of
//! every wait that came to nothing.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest that anything awaited may take: a rebalance after a kill takes a session timeout of 6 s,
/// and the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What a `settle` logs before its address.
const LISTENING: &str = "listening on http://";
/// Pause between two looks at something that cannot be waited for otherwise.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until there is something to see.
pub fn await_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(LOOK);
    }
}

/// A binary that was chosen instead of Cargo's.
static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

/// Takes this binary from now on; false if another one was chosen before.
pub fn choose_binary(file: PathBuf) -> bool {
    CHOSEN.set(file).is_ok()
}

/// The chosen one, or where Cargo puts the binary: beside the program that asks, or above it if that is
/// a test.
pub fn binary() -> PathBuf {
    if let Some(chosen) = CHOSEN.get() {
        return chosen.clone();
    }
    let program = std::env::current_exe().unwrap_or_default();
    let candidates = program.ancestors().skip(1).take(2).map(|folder| folder.join("floodgate"));
    candidates.into_iter().find(|file| file.is_file()).unwrap_or_else(|| PathBuf::from("floodgate"))
}

/// Builds the binary, in the profile of the program that asks; says whether it could.
pub fn build() -> bool {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "floodgate"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.status().is_ok_and(|status| status.success())
}

/// The binary under test, whatever the environment of the tests says about its configuration.
pub fn floodgate() -> Command {
    let mut command = Command::new(binary());
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("FLOODGATE__") {
            command.env_remove(key);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Ended {
    let mut command = floodgate();
    command.args(arguments);
    Process::spawn(command).wait()
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Ended {
    /// The last line of standard output.
    pub fn json(&self) -> Value {
        let line = self.stdout.lines().next_back().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }

    /// The same, if the exit code is this one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Everything that was said.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A running `floodgate`; a `settle` of a stage logs in JSON.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
    address: Option<String>,
    warden: Warden,
}

impl Process {
    /// Starts it with its standard streams collected.
    pub fn spawn(mut command: Command) -> Process {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be run");
        let stdout = child.stdout.take().map(collect).expect("it is piped");
        let stderr = child.stderr.take().map(collect).expect("it is piped");
        let readers = vec![stdout.1, stderr.1];
        let warden = Warden::of(&child);
        Process { child, stdout: stdout.0, stderr: stderr.0, readers, address: None, warden }
    }

    /// What it has logged so far.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// How often it has logged this so far.
    pub fn times_said(&self, text: &str) -> usize {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).matches(text).count()
    }

    /// The log lines whose message contains `text`, as objects.
    pub fn logged(&self, text: &str) -> Vec<Value> {
        let stderr = self.stderr();
        let lines = stderr.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.filter(|line| message(line).contains(text)).collect()
    }

    /// Waits for a log line whose message contains `text`.
    pub fn await_logged(&mut self, text: &str) -> Value {
        self.await_some(text, |process| process.logged(text).into_iter().next())
    }

    /// Waits for something that a running process shows.
    pub fn await_some<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Process) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look(self) {
                return seen;
            }
            let ended = self.child.try_wait().expect("it is our child");
            let in_vain = ended.is_some() || Instant::now() >= deadline;
            assert!(!in_vain, "{what}: not seen, exit {ended:?}, it said\n{}", self.stderr());
            thread::sleep(LOOK);
        }
    }

    /// Where it listens.
    pub fn address(&mut self) -> String {
        if self.address.is_none() {
            let line = self.await_logged(LISTENING);
            let address = message(&line).trim_start_matches(LISTENING).to_owned();
            self.address = Some(address);
        }
        self.address.clone().expect("it was set above")
    }

    /// Status code and body of a GET.
    pub fn get(&mut self, path: &str) -> (u16, String) {
        self.address();
        let answer = self.try_get(path);
        answer.unwrap_or_else(|error| panic!("GET {path}: {error}, it said\n{}", self.stderr()))
    }

    /// The same of one that may not listen yet, or not any more.
    pub fn try_get(&mut self, path: &str) -> io::Result<(u16, String)> {
        if self.address.is_none() && self.logged(LISTENING).is_empty() {
            return Err(io::Error::other("it does not listen yet"));
        }
        let answer = request(&self.address(), path)?;
        let bad = || io::Error::other("this is no HTTP answer");
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(bad)?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(bad)?;
        Ok((code, body.to_owned()))
    }

    /// What `/status` answers.
    pub fn status(&mut self) -> Value {
        let (code, body) = self.get("/status");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).expect("the status is JSON")
    }

    /// The partitions of all its workers, by number.
    pub fn partitions(&mut self) -> Vec<Value> {
        partitions_in(&self.status())
    }

    /// The same of one that may not listen yet, or not any more.
    pub fn try_partitions(&mut self) -> io::Result<Vec<Value>> {
        let (_, body) = self.try_get("/status")?;
        Ok(partitions_in(&serde_json::from_str(&body)?))
    }

    /// Waits until it works on this many partitions and on nothing else.
    pub fn await_live(&mut self, partitions: usize) {
        self.await_some(&format!("{partitions} live partitions"), |process| {
            let shown = process.partitions();
            let live = shown.iter().all(|partition| partition["phase"] == "live");
            (live && shown.len() == partitions).then_some(())
        });
    }

    /// Its number in the operating system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is our child");
        drop(self.child.wait());
        self.warden.dismiss();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, named without `SIG`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &self.child.id().to_string()])
            .status()
            .expect("there is a shell");
        assert!(sent.success(), "SIG{name} was not sent");
    }

    /// SIGTERM; waits for an end in order and returns it.
    pub fn stop(self) -> Ended {
        self.terminate();
        self.wait().expect_code(0)
    }

    /// Waits for the end.
    pub fn wait(self) -> Ended {
        let waited = self.wait_within(PATIENCE);
        waited.unwrap_or_else(|running| panic!("it does not end, it said\n{}", running.stderr()))
    }

    /// Waits so long for the end, or gives the running process back.
    pub fn wait_within(mut self, patience: Duration) -> Result<Ended, Box<Process>> {
        match self.ends_within(patience) {
            None => Err(Box::new(self)),
            Some(code) => {
                Ok(Ended { code, stdout: text(&self.stdout), stderr: text(&self.stderr) })
            }
        }
    }

    /// Waits so long for the end, and returns its exit code, which is none if a signal ended it. All
    /// that it said is there then.
    pub fn ends_within(&mut self, patience: Duration) -> Option<Option<i32>> {
        let deadline = Instant::now() + patience;
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(LOOK);
        };
        self.readers.drain(..).for_each(|reader| reader.join().expect("reading does not fail"));
        Some(status.code())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of one that has ended nothing comes; its number is ours until it was waited for.
        drop(self.child.kill());
        drop(self.child.wait());
        self.warden.dismiss();
    }
}

/// Kills a process if its owner dies before it says that nothing is left to be killed.
#[derive(Debug)]
struct Warden(Child);

impl Warden {
    fn of(ward: &Child) -> Warden {
        let script = "read -r dismissed || kill -s KILL \"$1\"";
        let warden = Command::new("sh")
            .args(["-c", script, "sh", &ward.id().to_string()])
            // A terminal's Ctrl-C would end the warden before its ward.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Warden(warden.expect("there is a shell"))
    }

    fn dismiss(&mut self) {
        let Some(mut pipe) = self.0.stdin.take() else { return };
        drop(pipe.write_all(b"dismissed\n"));
        drop(pipe);
        drop(self.0.wait());
    }
}

/// What `/status` says of partitions, of all workers, by number.
fn partitions_in(status: &Value) -> Vec<Value> {
    let workers = status["workers"].as_array().into_iter().flatten();
    let of = |worker: &Value| worker["partitions"].as_array().cloned().unwrap_or_default();
    let mut partitions: Vec<Value> = workers.flat_map(of).collect();
    partitions.sort_by_key(|partition| partition["partition"].as_u64());
    partitions
}

/// The message of a log line.
pub fn message(line: &Value) -> &str {
    line["fields"]["message"].as_str().unwrap_or_default()
}

fn text(collected: &Mutex<String>) -> String {
    collected.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Reads lines on a thread of its own until the other end is closed.
fn collect(from: impl io::Read + Send + 'static) -> (Arc<Mutex<String>>, thread::JoinHandle<()>) {
    let collected = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&collected);
    let reader = thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
            into.push_str(&line);
            into.push('\n');
        }
    });
    (collected, reader)
}

fn request(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
