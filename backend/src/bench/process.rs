//! A worker process, ours or the reference's, behind pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::BenchError;
use super::job::Job;

const REFERENCE: &str = include_str!("reference.py");

/// A process that does jobs; it ends when this is dropped.
pub(super) struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    name: String,
}

impl Worker {
    /// This program.
    pub(super) fn ours() -> Result<Self, BenchError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "--worker"]);
        Self::start(command, "mudi".to_owned())
    }

    /// The Python interpreter `python`, with as many threads as there are cores.
    pub(super) fn reference(python: &str) -> Result<Self, BenchError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut command = Command::new(python);
        command.args(["-c", REFERENCE, &threads.to_string()]);
        Self::start(command, format!("--python {python}"))
    }

    fn start(mut command: Command, name: String) -> Result<Self, BenchError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let failed = |reason: &str| BenchError::Worker { name: name.clone(), reason: reason.to_owned() };
        let mut child = command.spawn().map_err(|error| failed(&format!("cannot be started ({error})")))?;
        let input = child.stdin.take().ok_or_else(|| failed("no pipe"))?;
        let output = child.stdout.take().ok_or_else(|| failed("no pipe"))?;
        Ok(Self { child, input, output: BufReader::new(output), name })
    }

    /// Prepares a job and does it once.
    pub(super) fn prepare(&mut self, job: &Job) -> Result<(), BenchError> {
        let line = serde_json::to_string(job)?;
        self.ask(&line).map(|_| ())
    }

    /// Does the job; seconds.
    pub(super) fn run(&mut self) -> Result<f64, BenchError> {
        self.number("run")
    }

    /// The most memory that the process has held, in bytes.
    pub(super) fn peak(&mut self) -> Result<f64, BenchError> {
        self.number("peak")
    }

    fn number(&mut self, question: &str) -> Result<f64, BenchError> {
        let answer = self.ask(question)?;
        answer.parse().map_err(|_| BenchError::Worker { name: self.name.clone(), reason: answer })
    }

    fn ask(&mut self, line: &str) -> Result<String, BenchError> {
        let failed = |reason: String| BenchError::Worker { name: self.name.clone(), reason };
        let mut answer = String::new();
        let talk = writeln!(self.input, "{line}")
            .and_then(|()| self.input.flush())
            .and_then(|()| self.output.read_line(&mut answer));
        match (talk, answer.trim_end()) {
            (Err(error), _) => Err(failed(error.to_string())),
            (Ok(0), _) => Err(failed(
                "it ended; check that this Python has torch, diffusers, transformers and peft".to_owned(),
            )),
            (Ok(_), answer) => match answer.strip_prefix("error ") {
                Some(reason) => Err(failed(reason.to_owned())),
                None => Ok(answer.to_owned()),
            },
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself; either way it must not outlive us.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
