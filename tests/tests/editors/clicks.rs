//! Masks that follow the pointer, made by a worker of the page, by WebGPU and by the processor.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::GrayImage;
use mudi_domain::mask::Mask;
use mudi_editor::mask::MaskEditor;
use mudi_tests::browser::Browser;
use mudi_tests::hands::Kind;
use mudi_tests::patience::until;
use mudi_tests::workshop::models;
use serde_json::{Value, json};

use super::room::{CONTROL, ENTER, Room};

/// Alt, as WebDriver writes it.
const ALT: &str = "\u{e00a}";
/// What two masks of one place must share, as intersection over union.
const SAME: f64 = 0.99;

/// A toy's photo in the editor, with the click tool in hand.
struct Toy {
    room: Room,
    id: String,
    twin: MaskEditor,
    /// Where the toy is.
    middle: (f64, f64),
}

impl Toy {
    fn new(open: fn(&str) -> Browser) -> Self {
        let room = Room::with(open, &["--models", &models()], 1200, 800);
        let sample = room.client.post("/api/samples", &Value::Null);
        let sample = format!("/api/projects/{}/photos", sample["id"].as_str().expect("an id"));
        let photo = room.client.get(&sample).value()["items"][0].clone();
        let file = |name: &str| {
            let path = format!("{sample}/{}/{name}", photo["id"].as_str().expect("an id"));
            room.client.get(&path).well().bytes
        };
        let truth = Mask::from_image(&image::load_from_memory(&file("mask")).expect("an image"));
        let bounds = truth.bounding_box().expect("a toy");
        let middle = (
            f64::from(bounds.x) + f64::from(bounds.width) / 2.0,
            f64::from(bounds.y) + f64::from(bounds.height) / 2.0,
        );
        let id = room.upload("a", &file("image"));
        room.enter_mask(&id);
        let twin = room.twin(truth.width(), truth.height());
        let toy = Self { room, id, twin, middle };
        // Nobody has asked for it: the segmenter that ships knows toys alone, and photos are none.
        toy.room.browser.keys("p");
        toy.room.browser.press("Segment Anything first");
        toy
    }

    /// The place of the photo that a place of the window shows.
    fn place(&self, (x, y): (f64, f64)) -> Value {
        let [left, top, ..] = self.room.browser.place(".mask-marks");
        let (x, y) = self.twin.view().to_picture((x - left, y - top));
        json!([x, y])
    }

    /// What the server makes of clicks at places of the window.
    fn servers(&self, clicks: &[((f64, f64), bool)]) -> Mask {
        let points: Vec<Value> = clicks
            .iter()
            .map(|&(at, on_subject)| {
                let place = self.place(at);
                json!({ "x": place[0], "y": place[1], "on_subject": on_subject })
            })
            .collect();
        let path = self.room.api(&format!("photos/{}/segment", self.id));
        let bytes = self.room.client.json("POST", &path, &json!({ "points": points })).well().bytes;
        Mask::from_image(&image::load_from_memory(&bytes).expect("an image"))
    }

    /// The mask under the pointer as it is drawn, where the photo is.
    fn glimpse(&self) -> Mask {
        let (width, height) = self.twin.mask().dimensions();
        let (x, y) = (self.twin.view().x.round(), self.twin.view().y.round());
        let text = self.room.browser.run_async(
            "await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
             const canvas = document.querySelector('.mask-marks');
             const pixels = canvas.getContext('2d').getImageData(args[0], args[1], args[2], args[3]).data;
             let text = '';
             for (let at = 3; at < pixels.length; at += 4) text += String.fromCharCode(pixels[at] > 60 ? 255 : 0);
             return btoa(text);",
            &json!([x, y, width, height]),
        );
        let bytes = BASE64_STANDARD.decode(text.as_str().expect("text")).expect("base64");
        Mask::from_gray(GrayImage::from_raw(width, height, bytes).expect("as many bytes"))
    }

    /// Waits until what follows the pointer is `wanted`.
    fn until_glimpsed(&self, wanted: &Mask) {
        let share = || self.glimpse().iou(wanted);
        until(
            || format!("{}: {}", share(), self.room.browser.text()),
            || Some(share()).filter(|share| *share >= SAME),
        );
    }

    /// Hovers, clicks, takes the mask and takes it back: everywhere the server's mask of the same places.
    fn follow(&self) {
        let browser = &self.room.browser;
        let at = self.room.on_screen(&self.twin, self.middle);
        let single = self.servers(&[(at, true)]);
        assert!(!single.is_empty());
        browser.hover(at, None);
        self.until_glimpsed(&single);
        assert_eq!(self.room.tag(&self.id), None, "a look changes nothing");
        // Beside the photo there is nothing to be seen.
        let [left, top, ..] = browser.place(".mask-marks");
        browser.hover((left + 3.0, top + 3.0), None);
        assert!(self.glimpse().is_empty());

        // A click is fixed, and what another one beside the toy would change is seen.
        browser.drag(Kind::Mouse, &[at]);
        browser.sees("Blue is what was found");
        let other = self.room.on_screen(&self.twin, (self.middle.0, 12.0));
        browser.hover(other, Some(ALT));
        self.until_glimpsed(&self.servers(&[(at, true), (other, false)]));
        browser.keys(ENTER);
        let saved = Mask::from_gray(self.room.saved(&self.id, None));
        assert!(saved.iou(&single) >= SAME, "{}", saved.iou(&single));

        // One step back, and it is as it was: there is none.
        browser.keys_with(CONTROL, "z");
        until(|| "the mask stays".to_owned(), || self.room.tag(&self.id).is_none().then_some(()));
        self.room.settled();
        browser.until_true("document.querySelector('.mask-tools [title*=\"Ctrl+Z\"]').disabled");
    }
}

#[test]
fn on_the_gpu_the_mask_follows_the_pointer() {
    let toy = Toy::new(Browser::open_with_gpu);
    let browser = &toy.room.browser;
    browser.sees("Point at the subject: the mask follows");
    browser.sees("a GPU emulated by your processor");
    toy.follow();
    println!("{}", browser.run("return document.querySelector('.click-note').innerText"));

    // A GPU that is lost is set up again, and goes on with what was asked.
    let at = toy.room.on_screen(&toy.twin, toy.middle);
    let single = toy.servers(&[(at, true)]);
    let _ = browser.run("document.dispatchEvent(new Event('mudi-lose-gpu'))");
    browser.hover((at.0 + 4.0, at.1), None);
    browser.hover(at, None);
    toy.until_glimpsed(&single);
    // That there is no mask yet is an answer, and no fault.
    let mut complaints = browser.complaints();
    complaints.retain(|complaint| !complaint.contains("404"));
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn without_a_gpu_the_processor_makes_the_mask() {
    let toy = Toy::new(Browser::open);
    let browser = &toy.room.browser;
    browser.sees("Point at the subject: the mask follows");
    browser.sees("on your processor, which is slower than a GPU");
    toy.follow();
    println!("{}", browser.run("return document.querySelector('.click-note').innerText"));

    // Not wanted, it is not there; and that is remembered.
    browser.press("Segment Anything first");
    let at = toy.room.on_screen(&toy.twin, toy.middle);
    browser.hover(at, None);
    std::thread::sleep(Duration::from_millis(500));
    assert!(toy.glimpse().is_empty());
    browser.reload();
    toy.room.ready();
    browser.keys("p");
    browser.until_true("!document.querySelector('.mask-panel input[type=checkbox]').checked");

    // Who taps while it is still being loaded gets the answer once it is, without anything that moves after that.
    browser.keys("1");
    browser.press("Segment Anything first");
    browser.drag(Kind::Touch, &[at]);
    browser.sees("Blue is what was found");
    browser.sees("on your processor, which is slower than a GPU");
}

#[test]
fn where_no_worker_starts_the_server_is_asked() {
    let toy = Toy::new(Browser::open);
    let browser = &toy.room.browser;
    browser.reload();
    toy.room.ready();
    browser.keys("1");
    // Workers that never answer.
    let _ = browser.run(
        "window.Worker = function () { this.postMessage = () => {}; this.terminate = () => {}; this.addEventListener = () => {}; }",
    );
    browser.keys("p");
    let at = toy.room.on_screen(&toy.twin, toy.middle);
    browser.drag(Kind::Mouse, &[at]);
    browser.sees("It runs on the server, without a mask at the pointer");
    browser.sees("Blue is what was found");
    browser.keys(ENTER);
    let saved = Mask::from_gray(toy.room.saved(&toy.id, None));
    assert!(saved.iou(&toy.servers(&[(at, true)])) >= SAME);
}
