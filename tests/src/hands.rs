//! What hands do in a browser besides pressing buttons: draw with a mouse, a pen or fingers, hold keys, look at two windows.

use serde_json::{Value, json};

use crate::browser::Browser;

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

/// A place of the window, in CSS pixels.
pub type Place = (f64, f64);

fn to((x, y): Place) -> Value {
    json!({ "type": "pointerMove", "duration": 0, "origin": "viewport", "x": x.round(), "y": y.round() })
}

/// Pressed at the first of `places`, moved through the others, and let go or not.
fn line(places: &[Place], let_go: bool) -> Vec<Value> {
    let mut steps = vec![to(places[0]), json!({ "type": "pointerDown", "button": 0, "pressure": 0.5 })];
    steps.extend(places[1..].iter().map(|&place| to(place)));
    if let_go {
        steps.push(json!({ "type": "pointerUp", "button": 0 }));
    }
    steps
}

impl Browser {
    /// Draws a line: pressed at the first of `places`, let go at the last.
    pub fn drag(&self, kind: Kind, places: &[Place]) {
        self.act(&[(kind, line(places, true))]);
    }

    /// Presses at the first of `places` and goes to the last, without letting go.
    pub fn hold(&self, places: &[Place]) {
        self.act(&[(Kind::Mouse, line(places, false))]);
    }

    /// Moves the mouse there without pressing it, while the key `held` is held, if one is.
    pub fn hover(&self, place: Place, held: Option<&str>) {
        let pause = json!({ "type": "pause", "duration": 0 });
        let move_there = [pause.clone(), to(place), pause.clone()];
        let mut hands = vec![json!({
            "type": "pointer", "id": "mouse0", "parameters": { "pointerType": "mouse" }, "actions": move_there,
        })];
        if let Some(key) = held {
            let key = |kind: &str| json!({ "type": kind, "value": key });
            let steps = [key("keyDown"), pause, key("keyUp")];
            hands.push(json!({ "type": "key", "id": "keys", "actions": steps }));
        }
        self.command("POST", "actions", &json!({ "actions": hands }));
    }

    /// Two fingers at once, each from its first to its last place.
    pub fn pinch(&self, fingers: [&[Place]; 2]) {
        self.act(&fingers.map(|places| (Kind::Touch, line(places, true))));
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
        self.command("POST", "actions", &json!({ "actions": pointers }));
    }

    /// Types `keys` while the key `held` is held.
    pub fn keys_with(&self, held: &str, keys: &str) {
        let key = |kind: &str, key: &str| json!({ "type": kind, "value": key });
        let mut steps = vec![key("keyDown", held)];
        for name in keys.chars().map(String::from) {
            steps.extend([key("keyDown", &name), key("keyUp", &name)]);
        }
        steps.push(key("keyUp", held));
        let hands = json!({ "actions": [{ "type": "key", "id": "keys", "actions": steps }] });
        self.command("POST", "actions", &hands);
    }

    /// Presses the element that a CSS selector finds, once it is there and not disabled.
    pub fn press_at(&self, selector: &str) {
        let found = format!("document.querySelector({})", json!(selector));
        self.until(selector, &format!("return !!{found} && !{found}.disabled"));
        let _pressed = self.run(&format!("{found}.click()"));
    }

    /// Waits until an expression is true in the page.
    pub fn until_true(&self, expression: &str) {
        self.until(expression, &format!("return !!({expression})"));
    }

    /// Where the element that a CSS selector finds is: left, top, width and height in CSS pixels.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn place(&self, selector: &str) -> [f64; 4] {
        let rect = self.run_with(
            "const r = document.querySelector(arguments[0]).getBoundingClientRect(); return [r.left, r.top, r.width, r.height]",
            &json!([selector]),
        );
        [0, 1, 2, 3].map(|index| rect[index].as_f64().expect("a number"))
    }

    /// Runs the body of an `async` function, whose arguments are in `args`; what it returns.
    ///
    /// # Panics
    /// Where it throws.
    pub fn run_async(&self, body: &str, arguments: &Value) -> Value {
        let script = format!(
            "const args = arguments, done = arguments[arguments.length - 1];
             (async () => {{ {body} }})().then(value => done({{ value }}), error => done({{ error: String(error) }}))"
        );
        self.command("POST", "timeouts", &json!({ "script": 200_000 }));
        let answer = self.command("POST", "execute/async", &json!({ "script": script, "args": arguments }));
        assert!(answer["error"].is_null(), "{}", answer["error"]);
        answer["value"].clone()
    }

    /// Opens another window, which gets what follows; returns the one before.
    ///
    /// # Panics
    /// Where there is no other one to be had.
    #[must_use]
    pub fn another_window(&self) -> String {
        let before = self.command("GET", "window", &Value::Null).as_str().unwrap_or_default().to_owned();
        let new = self.command("POST", "window/new", &json!({ "type": "tab" }));
        self.switch(new["handle"].as_str().expect("a window"));
        self.size(1000, 700);
        before
    }

    /// What follows goes to that window.
    pub fn switch(&self, window: &str) {
        self.command("POST", "window", &json!({ "handle": window }));
    }
}
