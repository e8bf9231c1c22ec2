//! A real browser, as somebody uses it: Chromium without a window, driven through WebDriver by `chromedriver`.
//!
//! Everything here panics where the page does not do what the test is about.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use ureq::Agent;

/// How long anything may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A mouse.
    Mouse,
    /// A pen.
    Pen,
    /// A finger.
    Touch,
}

/// A browser with one window; it ends when this is dropped.
pub struct Browser {
    driver: Child,
    agent: Agent,
    /// The address of the session.
    session: String,
}

impl Browser {
    /// Starts it, with a window of that size in CSS pixels.
    ///
    /// # Panics
    /// Where `chromedriver` and Chromium are not installed.
    #[must_use]
    pub fn start(width: u32, height: u32) -> Self {
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--log-level=SEVERE"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`chromedriver` runs (Debian's packages `chromium` and `chromium-driver`)");
        let lines = BufReader::new(driver.stdout.take().expect("standard output")).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| line.split("on port ").nth(1)?.trim_end_matches('.').parse::<u16>().ok())
            .expect("chromedriver names its port");
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(PATIENCE * 3))
            .build()
            .into();
        let mut browser = Self { driver, agent, session: format!("http://127.0.0.1:{port}/session") };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--force-device-scale-factor=1",
            &format!("--window-size={width},{height}"),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": arguments } } } });
        let session = browser.call("POST", "", &wanted);
        let id = session["sessionId"].as_str().expect("a session's id");
        browser.session = format!("{}/{id}", browser.session);
        browser.call("POST", "/timeouts", &json!({ "script": 120_000 }));
        browser.resize(width, height);
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.session));
        let answer = match method {
            "POST" => self.agent.run(
                request.header("content-type", "application/json").body(body.to_string()).expect("a request"),
            ),
            _ => self.agent.run(request.body(()).expect("a request")),
        };
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let text = answer.body_mut().with_config().limit(1 << 28).read_to_string().expect("text");
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(answer.status().is_success(), "{method} {path}: {}", value["value"]["message"]);
        value["value"].clone()
    }

    /// Opens an address.
    pub fn open(&self, address: &str) {
        self.call("POST", "/url", &json!({ "url": address }));
    }

    /// Loads the page again.
    pub fn reload(&self) {
        self.call("POST", "/refresh", &json!({}));
    }

    /// Gives the inside of the window another size, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let rect = |width: i64, height: i64| {
            self.call("POST", "/window/rect", &json!({ "width": width, "height": height }));
        };
        rect(i64::from(width), i64::from(height));
        // Some of the window is not the page's.
        let inside = self.run("return [innerWidth, innerHeight]", &json!([]));
        let lost = |wanted: u32, got: &Value| i64::from(wanted) - got.as_i64().unwrap_or_default();
        let (dx, dy) = (lost(width, &inside[0]), lost(height, &inside[1]));
        rect(i64::from(width) + dx, i64::from(height) + dy);
    }

    /// Runs a function's body in the page and returns what it returns.
    pub fn run(&self, body: &str, arguments: &Value) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": body, "args": arguments }))
    }

    /// Runs the body of an `async` function and returns what it returns.
    pub fn run_async(&self, body: &str, arguments: &Value) -> Value {
        let body = format!(
            "const done = arguments[arguments.length - 1]; const args = arguments;
             (async () => {{ {body} }})().then(value => done({{ value }}), error => done({{ error: String(error) }}))"
        );
        let answer = self.call("POST", "/execute/async", &json!({ "script": body, "args": arguments }));
        assert!(answer["error"].is_null(), "{}", answer["error"]);
        answer["value"].clone()
    }

    /// Waits until an expression is true in the page.
    ///
    /// # Panics
    /// Where it does not become true.
    pub fn until(&self, expression: &str) {
        let begin = Instant::now();
        let body = format!("return !!({expression})");
        while self.run(&body, &json!([])) != Value::Bool(true) {
            assert!(begin.elapsed() < PATIENCE, "{expression} does not become true; {}", self.text());
            std::thread::sleep(Duration::from_millis(40));
        }
    }

    /// The words of the page.
    #[must_use]
    pub fn text(&self) -> String {
        let text = self.run("return document.body ? document.body.innerText : ''", &json!([]));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows these words.
    ///
    /// # Panics
    /// Where it does not.
    pub fn until_words(&self, words: &str) {
        self.until(&format!("document.body && document.body.innerText.includes({})", json!(words)));
    }

    /// Clicks on the element that a CSS selector finds, once it is there and can be clicked on.
    ///
    /// # Panics
    /// Where there is none.
    pub fn click(&self, selector: &str) {
        let found = format!("document.querySelector({})", json!(selector));
        self.until(&format!("{found} && !{found}.disabled"));
        let element = self.call("POST", "/element", &json!({ "using": "css selector", "value": selector }));
        let id = element.as_object().and_then(|object| object.values().next()).and_then(Value::as_str);
        self.call("POST", &format!("/element/{}/click", id.expect("an element's id")), &json!({}));
    }

    /// Where an element is: left, top, width and height in CSS pixels.
    #[must_use]
    pub fn place(&self, selector: &str) -> [f64; 4] {
        let rect = self.run(
            "const r = document.querySelector(arguments[0]).getBoundingClientRect(); return [r.left, r.top, r.width, r.height]",
            &json!([selector]),
        );
        [0, 1, 2, 3].map(|index| rect[index].as_f64().expect("a number"))
    }

    /// Draws a line: pressed at the first of `places` (CSS pixels of the window), let go at the last.
    pub fn drag(&self, kind: Kind, places: &[(f64, f64)]) {
        let mut steps = vec![to(places[0])];
        steps.push(json!({ "type": "pointerDown", "button": 0, "pressure": 0.5 }));
        steps.extend(places[1..].iter().map(|&place| to(place)));
        steps.push(json!({ "type": "pointerUp", "button": 0 }));
        self.act(&[(kind, steps)]);
    }

    /// Presses at the first of `places` and goes to the last, without letting go.
    pub fn hold(&self, places: &[(f64, f64)]) {
        let mut steps = vec![to(places[0]), json!({ "type": "pointerDown", "button": 0 })];
        steps.extend(places[1..].iter().map(|&place| to(place)));
        self.act(&[(Kind::Mouse, steps)]);
    }

    /// Two fingers at once, each from its first to its last place.
    pub fn pinch(&self, fingers: [&[(f64, f64)]; 2]) {
        let steps = |places: &[(f64, f64)]| {
            let mut steps = vec![to(places[0]), json!({ "type": "pointerDown", "button": 0 })];
            steps.extend(places[1..].iter().map(|&place| to(place)));
            steps.push(json!({ "type": "pointerUp", "button": 0 }));
            steps
        };
        self.act(&[(Kind::Touch, steps(fingers[0])), (Kind::Touch, steps(fingers[1]))]);
    }

    fn act(&self, pointers: &[(Kind, Vec<Value>)]) {
        let pointers: Vec<Value> = pointers
            .iter()
            .enumerate()
            .map(|(number, (kind, steps))| {
                let kind = match kind {
                    Kind::Mouse => "mouse",
                    Kind::Pen => "pen",
                    Kind::Touch => "touch",
                };
                let id = format!("{kind}{number}");
                json!({ "type": "pointer", "id": id, "parameters": { "pointerType": kind }, "actions": steps })
            })
            .collect();
        self.call("POST", "/actions", &json!({ "actions": pointers }));
    }

    /// Presses keys, one after the other, all of `held` being held meanwhile. Names of keys are WebDriver's characters.
    pub fn keys(&self, held: &[&str], keys: &[&str]) {
        let key = |kind: &str, key: &str| json!({ "type": kind, "value": key });
        let mut steps: Vec<Value> = held.iter().map(|name| key("keyDown", name)).collect();
        for name in keys {
            steps.extend([key("keyDown", name), key("keyUp", name)]);
        }
        steps.extend(held.iter().rev().map(|name| key("keyUp", name)));
        self.call("POST", "/actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": steps }] }));
    }

    /// Opens another window, which gets what follows; returns the one before.
    #[must_use]
    pub fn another_window(&self) -> String {
        let before = self.call("GET", "/window", &Value::Null).as_str().unwrap_or_default().to_owned();
        let new = self.call("POST", "/window/new", &json!({ "type": "tab" }));
        self.switch(new["handle"].as_str().expect("a window"));
        before
    }

    /// What follows goes to that window.
    pub fn switch(&self, window: &str) {
        self.call("POST", "/window", &json!({ "handle": window }));
    }

    /// Writes a picture of the window.
    ///
    /// # Panics
    /// Where the file cannot be written.
    pub fn picture(&self, file: &Path) {
        let picture = self.call("GET", "/screenshot", &Value::Null);
        let bytes = BASE64_STANDARD.decode(picture.as_str().unwrap_or_default()).expect("a picture");
        std::fs::write(file, bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn to((x, y): (f64, f64)) -> Value {
    json!({ "type": "pointerMove", "duration": 0, "origin": "viewport", "x": x, "y": y })
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session; the driver may have ended already.
        let request = ureq::http::Request::builder().method("DELETE").uri(&self.session).body(());
        if let Ok(request) = request {
            let _ = self.agent.run(request);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
