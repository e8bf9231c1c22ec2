//! A real browser: Chromium, told what to do through its driver (the W3C's WebDriver, and Chromium's own commands).
//!
//! Everything here panics where the page does not do what the test is about.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};
use ureq::Agent;

use crate::patience::{PATIENCE, until};

/// The key that WebDriver names elements by.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A window of a browser with a profile of its own.
pub struct Browser {
    driver: Child,
    agent: Agent,
    /// The session's address.
    session: String,
    /// What comes before paths.
    site: String,
}

impl Browser {
    /// Opens one for the server at `address`. It has no GPU.
    ///
    /// # Panics
    /// Where there is no Chromium with its driver.
    #[must_use]
    pub fn open(address: &str) -> Self {
        Self::open_with(address, &["--disable-gpu"])
    }

    /// Opens one with a GPU, which is emulated where there is none.
    ///
    /// # Panics
    /// Where there is no Chromium with its driver.
    #[must_use]
    pub fn open_with_gpu(address: &str) -> Self {
        Self::open_with(address, &["--enable-unsafe-webgpu"])
    }

    /// Opens one that reaches the server at `address` by the name `studio.test`, which is not this machine's.
    ///
    /// # Panics
    /// Where there is no Chromium with its driver.
    #[must_use]
    pub fn open_from_afar(address: &str) -> Self {
        let port = address.rsplit(':').next().unwrap_or_default();
        let flags = ["--disable-gpu", "--no-proxy-server", "--host-resolver-rules=MAP studio.test 127.0.0.1"];
        Self::open_with(&format!("studio.test:{port}"), &flags)
    }

    fn open_with(address: &str, further: &[&str]) -> Self {
        const CURE: &str = "`chromedriver` cannot be started; `cargo xtask test` installs it, or says how";
        let mut command = Command::new("chromedriver");
        let mut driver =
            command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect(CURE);
        let mut lines = BufReader::new(driver.stdout.take().expect("standard output")).lines();
        let port = lines.find_map(|line| {
            let line = line.ok()?;
            Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned())
        });
        // What else it writes shall not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).proxy(None);
        let agent: Agent = config.build().into();
        let root = format!("http://127.0.0.1:{}", port.expect("the driver's port"));
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
        ];
        let arguments = [&arguments, further].concat();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": { "args": arguments }, "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let made = send(&agent, "POST", &format!("{root}/session"), Some(&wanted));
        let id = made["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}"));
        let browser = Self {
            driver,
            agent,
            session: format!("{root}/session/{id}"),
            site: format!("http://{address}"),
        };
        browser.size(1440, 900);
        browser
    }

    pub(crate) fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        send(&self.agent, method, &format!("{}/{path}", self.session), (method == "POST").then_some(body))
    }

    /// Goes to a path of the server, or to a whole address.
    pub fn go(&self, path: &str) {
        let address = if path.starts_with('/') { format!("{}{path}", self.site) } else { path.to_owned() };
        self.command("POST", "url", &json!({ "url": address }));
    }

    /// Loads the page again.
    pub fn reload(&self) {
        self.command("POST", "refresh", &json!({}));
    }

    /// The path that the page is at.
    #[must_use]
    pub fn path(&self) -> String {
        self.run("return location.pathname").as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script in the page; what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.run_with(script, &json!([]))
    }

    /// The same, with arguments.
    #[must_use]
    pub fn run_with(&self, script: &str, arguments: &Value) -> Value {
        self.command("POST", "execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Runs a script that calls its last argument when it is done; what it is called with.
    #[must_use]
    pub fn run_later(&self, script: &str) -> Value {
        self.command("POST", "execute/async", &json!({ "script": script, "args": [] }))
    }

    /// A command of Chromium's own protocol; its answer.
    pub fn chromium(&self, command: &str, parameters: &Value) -> Value {
        self.command("POST", "goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Gives the window a size, in the page's pixels.
    pub fn size(&self, width: u32, height: u32) {
        self.chromium(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 }),
        );
    }

    /// Has the system be dark, or light, without motion; the page is drawn so when this returns.
    pub fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": value }, { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.chromium("Emulation.setEmulatedMedia", &features);
        // Colours that change by and by are others on the way.
        let _ = self.run_later(
            "const done = arguments[arguments.length - 1];
             const settle = frames => {
                 document.getAnimations().forEach(each => each instanceof CSSTransition && each.finish());
                 frames ? requestAnimationFrame(() => settle(frames - 1)) : done(true);
             };
             requestAnimationFrame(() => settle(5))",
        );
    }

    /// Cuts the connection, or mends it.
    pub fn offline(&self, offline: bool) {
        self.chromium("Network.enable", &json!({}));
        self.chromium(
            "Network.emulateNetworkConditions",
            &json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 }),
        );
    }

    /// Waits until a script returns something true.
    ///
    /// # Panics
    /// Where it does not.
    pub fn until(&self, what: &str, script: &str) {
        until(
            || format!("{what} does not happen; the page at {} says: {}", self.path(), self.text()),
            || self.run(script).as_bool().filter(|happens| *happens),
        );
    }

    /// Waits until the page says `words`.
    pub fn sees(&self, words: &str) {
        self.until(
            &format!("“{words}”"),
            &format!("return document.body.innerText.includes({})", json!(words)),
        );
    }

    /// Waits until the page says `words` no more.
    pub fn sees_no(&self, words: &str) {
        let script = format!("return !document.body.innerText.includes({})", json!(words));
        self.until(&format!("no “{words}”"), &script);
    }

    /// What the page says.
    #[must_use]
    pub fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits for an element by a script that returns it.
    fn element(&self, what: &str, script: &str) -> String {
        until(
            || format!("there is no {what} at {}: {}", self.path(), self.text()),
            || self.run(script)[ELEMENT].as_str().map(str::to_owned),
        )
    }

    /// Presses the button, link or choice that is called `name`, as somebody with a mouse would.
    pub fn press(&self, name: &str) {
        let script = format!(
            "const shown = e => e.checkVisibility({{ visibilityProperty: true }});
             const called = e => (e.getAttribute('aria-label') || e.innerText || '').trim();
             const scope = document.querySelector('dialog[open]') || document;
             const all = [...scope.querySelectorAll('button, a, summary, label.choice, label.check')].filter(shown);
             const name = {};
             const found = all.find(e => called(e) === name && !e.disabled) || all.find(e => called(e).startsWith(name) && !e.disabled);
             // The driver scrolls to what is out of the window, not to what lies under a bar at its edge.
             const box = found?.getBoundingClientRect();
             const top = box && document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
             if (found && !found.contains(top)) found.scrollIntoView({{ block: 'center', behavior: 'instant' }});
             return found;",
            json!(name)
        );
        let begin = Instant::now();
        loop {
            let element = self.element(&format!("button “{name}”"), &script);
            let pressed = self.attempt("POST", &format!("element/{element}/click"), &json!({}));
            // What is drawn anew just then, or still moves, is tried again.
            match pressed["error"].as_str() {
                None => return,
                Some(_) if begin.elapsed() < Duration::from_secs(20) => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Some(error) => panic!("“{name}” cannot be pressed: {error}: {}", pressed["message"]),
            }
        }
    }

    fn attempt(&self, method: &str, path: &str, body: &Value) -> Value {
        attempt(&self.agent, method, &format!("{}/{path}", self.session), Some(body))
    }

    /// Writes `text` into the field that `selector` finds, in the place of what was there.
    pub fn write(&self, selector: &str, text: &str) {
        let found = self.element(selector, &format!("return document.querySelector({})", json!(selector)));
        // All that is there is marked first, and so written over. (WebDriver's own way of clearing takes the focus away.)
        let text = format!("{CONTROL}a{RELEASED}{text}");
        self.command("POST", &format!("element/{found}/value"), &json!({ "text": text }));
    }

    /// Chooses files for the field that `selector` finds.
    pub fn choose_files(&self, selector: &str, files: &[&Path]) {
        let found = self.element(selector, &format!("return document.querySelector({})", json!(selector)));
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        self.command("POST", &format!("element/{found}/value"), &json!({ "text": names.join("\n") }));
    }

    /// Types on the keyboard, wherever the focus is.
    pub fn keys(&self, text: &str) {
        let strokes: Vec<Value> = text
            .chars()
            .flat_map(|key| {
                [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
            })
            .collect();
        self.command(
            "POST",
            "actions",
            &json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] }),
        );
    }

    /// Goes on with the Tab key until what is called `name` has the focus.
    ///
    /// # Panics
    /// Where it cannot be reached.
    pub fn tab_to(&self, name: &str) {
        let script = "const e = document.activeElement;
            const own = e && (e.getAttribute('aria-label') || (e.labels && e.labels[0] && e.labels[0].innerText) || e.innerText);
            return (own || '').trim()";
        let mut seen = Vec::new();
        for _ in 0..80 {
            self.keys(TAB);
            let focused = self.run(script).as_str().unwrap_or_default().to_owned();
            if focused.starts_with(name) {
                return;
            }
            seen.push(focused);
        }
        panic!("the Tab key does not reach “{name}”, but {seen:?}");
    }

    /// Keeps what the window shows as a WebP file.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn photograph(&self, path: &Path) {
        let parameters = json!({ "format": "webp", "quality": 82 });
        let shot = self.chromium("Page.captureScreenshot", &parameters);
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap_or_default());
        std::fs::write(path, bytes.expect("an image in base 64")).expect("a file");
    }

    /// Bytes that the browser's processes hold of their own, which all descend from the driver (Linux).
    ///
    /// # Panics
    /// Where the system does not tell.
    #[must_use]
    pub fn memory(&self) -> f64 {
        let processes: Vec<u32> = std::fs::read_dir("/proc")
            .expect("Linux")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        // The name, which may have anything in it, is in brackets; the parent comes after it and the state.
        let parent = |process: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
        };
        let ours = |process: &u32| {
            let ancestors = std::iter::successors(Some(*process), |process| parent(*process));
            ancestors.into_iter().any(|process| process == self.driver.id())
        };
        // In pages: all, resident, shared with files.
        let own = |process: u32| {
            let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
            let mut numbers = statm.split_whitespace().skip(1).map_while(|number| number.parse::<f64>().ok());
            Some(4096.0 * (numbers.next()? - numbers.next()?))
        };
        processes.into_iter().filter(ours).filter_map(own).sum()
    }

    /// What the page has complained of so far: scripts that failed, resources that were refused.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.command("POST", "se/log", &json!({ "type": "browser" }));
        let bad = |entry: &&Value| entry["level"] == "SEVERE";
        let all = entries.as_array().into_iter().flatten();
        all.filter(bad).map(|entry| entry["message"].to_string()).collect()
    }
}

const CONTROL: &str = "\u{e009}";
/// No key is held any more.
const RELEASED: &str = "\u{e000}";
/// The Tab key, as WebDriver writes it.
pub const TAB: &str = "\u{e004}";
/// The Enter key.
pub const ENTER: &str = "\u{e007}";

impl Drop for Browser {
    fn drop(&mut self) {
        // Both may have ended already.
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn attempt(agent: &Agent, method: &str, address: &str, body: Option<&Value>) -> Value {
    let answer = match (method, body) {
        ("GET", _) => agent.get(address).call(),
        (_, Some(body)) => {
            agent.post(address).header("content-type", "application/json").send(body.to_string().as_bytes())
        }
        (_, None) => agent.delete(address).call(),
    };
    let mut answer = answer.unwrap_or_else(|error| panic!("{method} {address}: {error}"));
    let text = answer.body_mut().with_config().limit(1 << 30).read_to_string().expect("an answer");
    serde_json::from_str::<Value>(&text).expect("JSON")["value"].take()
}

fn send(agent: &Agent, method: &str, address: &str, body: Option<&Value>) -> Value {
    let value = attempt(agent, method, address, body);
    if let Some(error) = value["error"].as_str() {
        panic!("{method} {address}: {error}: {}", value["message"]);
    }
    value
}
