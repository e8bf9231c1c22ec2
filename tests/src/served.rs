//! The server as a program, and a client that says what it wants and shows what it gets.
//!
//! Everything here panics where the server does not do what the test is about.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;
use ureq::http::{HeaderMap, Request};
use ureq::{Agent, Body};

use crate::golden::fixture;
use crate::patience::{PATIENCE, until};
use crate::workshop::program;

/// A running `mudi serve`; it is killed when this is dropped.
pub struct Server {
    child: Child,
    /// Where it listens, as `127.0.0.1:8787`.
    pub address: String,
    log: PathBuf,
}

impl Server {
    /// Starts it on the data folder `data`, with `further` flags, and the bases of the fixtures where these name none.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start(data: &Path, further: &[&str]) -> Self {
        Self::start_as(Command::new(program()), data, further)
    }

    /// Starts it by a command that takes the program's arguments.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start_as(mut command: Command, data: &Path, further: &[&str]) -> Self {
        let log = data.with_extension("log");
        let errors = File::options().create(true).append(true).open(&log).expect("a log");
        command.args(["serve", "--data"]).arg(data).args(further);
        if !further.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if !further.contains(&"--models") {
            command.arg("--models").arg(fixture(""));
        }
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().expect("the program starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("standard output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let address =
            line.trim().strip_prefix("Listening on http://").and_then(|line| line.strip_suffix('/'));
        let server = Self { child, address: address.unwrap_or_default().to_owned(), log };
        assert!(address.is_some(), "{line:?}: {}", server.log());
        server
    }

    /// A client on this machine.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.address)
    }

    /// The process's number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged, in all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// Where it cannot be killed.
    pub fn kill(mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server ends");
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Panics
    /// Where it does not stop.
    pub fn stop(mut self) -> ExitStatus {
        let asked = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(asked.expect("kill runs").success());
        until(
            || "the server does not stop".to_owned(),
            || self.child.try_wait().expect("the server's status"),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody who sends requests.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    address: String,
    headers: Vec<(String, String)>,
}

/// What came back.
pub struct Answer {
    /// What was asked, for messages.
    asked: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Client {
    /// One that talks to the server at `address`.
    #[must_use]
    pub fn new(address: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            // The server closes a connection whose request it did not read to its end. The next request could meet that, and
            // a POST is not repeated.
            .max_idle_connections(0)
            .timeout_global(Some(PATIENCE));
        Self { agent: config.build().into(), address: address.to_owned(), headers: Vec::new() }
    }

    /// The same, with a further header.
    #[must_use]
    pub fn with(&self, name: &str, value: impl Into<String>) -> Self {
        let mut client = self.clone();
        client.headers.retain(|(known, _)| known != name);
        client.headers.push((name.to_owned(), value.into()));
        client
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Where no whole answer comes, as when the server is killed meanwhile.
    pub fn try_send(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Answer, ureq::Error> {
        let response = self.open(method, path, body)?;
        let (parts, mut body) = response.into_parts();
        let bytes = body.with_config().limit(1 << 30).read_to_vec()?;
        let asked = format!("{method} {path}");
        Ok(Answer { asked, status: parts.status.as_u16(), headers: parts.headers, bytes })
    }

    fn open(
        &self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<ureq::http::Response<Body>, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match body {
            Some(body) => self.agent.run(request.body(body).expect("a request")),
            None => self.agent.run(request.body(()).expect("a request")),
        }
    }

    /// Sends a request.
    ///
    /// # Panics
    /// Where no answer comes.
    #[must_use]
    pub fn send(&self, method: &str, path: &str, body: Option<&[u8]>) -> Answer {
        self.try_send(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Asks for `path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    /// Sends JSON.
    #[must_use]
    pub fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.with("content-type", "application/json").send(method, path, Some(body.to_string().as_bytes()))
    }

    /// Posts JSON; what comes back, which must be well, as JSON.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.json("POST", path, body).value()
    }

    /// Deletes `path`, which must go well.
    pub fn delete(&self, path: &str) {
        self.send("DELETE", path, None).well();
    }

    /// Listens to the events at `path`.
    ///
    /// # Panics
    /// Where there are none.
    #[must_use]
    pub fn events(&self, path: &str) -> Events {
        let response = self.open("GET", path, None).unwrap_or_else(|error| panic!("GET {path}: {error}"));
        assert_eq!(response.status().as_u16(), 200, "GET {path}");
        Events { lines: BufReader::new(Box::new(response.into_body().into_reader())) }
    }

    /// The answer to `path`, once it is what `wanted` says.
    ///
    /// # Panics
    /// Where that does not happen.
    pub fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until(
            || format!("GET {path} stays {}", self.get(path).shown()),
            || Some(self.get(path).value()).filter(|value| wanted(value)),
        )
    }

    /// Waits until the job at `path` is over, which must have been done.
    ///
    /// # Panics
    /// Where it fails, or takes too long.
    pub fn done(&self, path: &str) -> Value {
        let over = |job: &Value| ["done", "failed", "cancelled"].iter().any(|state| job["state"] == *state);
        let job = self.until(path, over);
        assert_eq!(job["state"], "done", "{job}");
        job
    }
}

impl Answer {
    /// The same; its status must be one of success.
    ///
    /// # Panics
    /// Where it is not.
    pub fn well(self) -> Self {
        assert!((200..300).contains(&self.status), "{}: {}", self.asked, self.shown());
        self
    }

    /// The body as JSON; the status must be one of success.
    ///
    /// # Panics
    /// Where it is not.
    #[must_use]
    pub fn value(self) -> Value {
        let answer = self.well();
        serde_json::from_slice(&answer.bytes)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", answer.asked, answer.shown()))
    }

    /// The answer must be a problem of this status and code; its detail.
    ///
    /// # Panics
    /// Where it is not.
    pub fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.shown());
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.asked);
        let problem: Value = serde_json::from_slice(&self.bytes).expect("a problem is JSON");
        assert_eq!(problem["code"], code, "{}: {problem}", self.asked);
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().expect("a detail").to_owned()
    }

    /// A header, empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header is text"))
    }

    /// Status and body, for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.bytes).chars().take(500).collect();
        format!("{} {text}", self.status)
    }
}

/// A text of an answer.
///
/// # Panics
/// Where the value is none.
#[must_use]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Server-sent events: their ids and their data.
pub struct Events {
    lines: BufReader<Box<dyn std::io::Read>>,
}

impl Iterator for Events {
    type Item = (i64, Value);

    fn next(&mut self) -> Option<(i64, Value)> {
        let (mut id, mut data) = (0, None);
        loop {
            let mut line = String::new();
            // A stream that breaks off has ended, too.
            if self.lines.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("id", text)) => id = text.parse().expect("an id"),
                Some(("data", text)) => data = Some(serde_json::from_str(text).expect("data is JSON")),
                _ => {
                    if let Some(data) = data.take() {
                        return Some((id, data));
                    }
                }
            }
        }
    }
}
