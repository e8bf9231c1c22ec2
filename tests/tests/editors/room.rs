//! A server with a project, and a browser that looks at it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::{GrayImage, ImageFormat, Rgb, RgbImage};
use mudi_editor::Phase;
use mudi_editor::mask::{Button, Keys, MaskEditor, Message, Pointer, PointerKind, ViewChange};
use mudi_tests::browser::Browser;
use mudi_tests::patience::until;
pub(crate) use mudi_tests::pictures::encoded;
use mudi_tests::served::{Client, Server};
use serde_json::{Value, json};

/// Ctrl, as WebDriver writes it.
pub(crate) const CONTROL: &str = "\u{e009}";
/// Shift.
pub(crate) const SHIFT: &str = "\u{e008}";
/// Enter.
pub(crate) const ENTER: &str = "\u{e007}";
/// The arrow to the right.
pub(crate) const RIGHT: &str = "\u{e014}";
/// The arrow down.
pub(crate) const DOWN: &str = "\u{e015}";

/// A photo: an orange disc on green and blue.
pub(crate) fn photo(width: u32, height: u32) -> RgbImage {
    let (x, y, radius) = (width as i64 / 2, height as i64 / 2, width.min(height) as i64 / 3);
    RgbImage::from_fn(width, height, |column, row| {
        let noise = ((column * 7919 + row * 104_729) % 17) as u8;
        let (dx, dy) = (i64::from(column) - x, i64::from(row) - y);
        if dx * dx + dy * dy < radius * radius {
            Rgb([215 + noise, 120 + noise, 40])
        } else if row > height / 2 {
            Rgb([40 + noise, 130, 60 + noise])
        } else {
            Rgb([70, 120 + noise, 190 + noise])
        }
    })
}

/// A server, a project in it, and a browser.
pub(crate) struct Room {
    pub(crate) browser: Browser,
    pub(crate) client: Client,
    _server: Server,
    pub(crate) project: String,
    _folder: tempfile::TempDir,
}

impl Room {
    /// With a window of that size.
    pub(crate) fn new(width: u32, height: u32) -> Self {
        Self::with(Browser::open, &[], width, height)
    }

    /// With a window of that size, of a browser that `open` opens, and a server with `further` flags.
    pub(crate) fn with(open: fn(&str) -> Browser, further: &[&str], width: u32, height: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(&folder.path().join("data"), further);
        let client = server.client();
        let project = client.post("/api/projects", &json!({ "name": "Toys" }));
        let project = project["id"].as_str().expect("an id").to_owned();
        let room = Self { browser: open(&server.address), client, _server: server, project, _folder: folder };
        room.browser.size(width, height);
        for (id, name) in [("a", "olis brown bear"), ("b", "hta blue robot")] {
            let _subject = room.client.post(&room.api("subjects"), &json!({ "id": id, "name": name }));
        }
        room
    }

    /// A path of the project's API.
    pub(crate) fn api(&self, below: &str) -> String {
        format!("/api/projects/{}/{below}", self.project)
    }

    /// The path of a page of the project.
    pub(crate) fn address(&self, below: &str) -> String {
        format!("/projects/{}/{below}", self.project)
    }

    /// Uploads a photo; its id.
    pub(crate) fn upload(&self, subject: &str, bytes: &[u8]) -> String {
        let path = self.api(&format!("subjects/{subject}/photos?name=photo"));
        let photo = self.client.send("POST", &path, Some(bytes)).value();
        photo["id"].as_str().expect("an id").to_owned()
    }

    /// Uploads [`photo`] and opens its mask, at one pixel of the photo for one of the screen.
    pub(crate) fn open_mask(&self, width: u32, height: u32) -> String {
        let id = self.upload("a", &encoded(photo(width, height), ImageFormat::Png));
        self.enter_mask(&id);
        id
    }

    /// Opens the mask of a photo, at one pixel of the photo for one of the screen.
    pub(crate) fn enter_mask(&self, id: &str) {
        self.browser.go(&self.address(&format!("photos/{id}/mask")));
        self.ready();
        self.browser.keys("1");
        self.browser.sees("100 %");
    }

    /// Waits until the photo is there.
    pub(crate) fn ready(&self) {
        self.browser
            .until_true("document.querySelector('.mask-marks') && !document.querySelector('.mask-waiting')");
        self.settled();
    }

    /// Waits until everything is saved.
    pub(crate) fn settled(&self) {
        self.browser.until_true("document.querySelector('.mask-save .tag')?.innerText === 'Saved'");
    }

    /// Waits until what was just done is saved in the place of the mask `before`; the new mask's tag.
    pub(crate) fn until_changed(&self, photo: &str, before: Option<&str>) -> String {
        let path = self.api(&format!("photos/{photo}"));
        let changed =
            self.client.until(&path, |photo| photo["mask"].as_str().is_some_and(|tag| Some(tag) != before));
        self.settled();
        changed["mask"].as_str().expect("a tag").to_owned()
    }

    /// The same; the new mask.
    pub(crate) fn saved(&self, photo: &str, before: Option<&str>) -> GrayImage {
        self.until_changed(photo, before);
        self.mask(photo)
    }

    /// How many masks the browser keeps unsaved work of.
    pub(crate) fn journals(&self) -> Option<u64> {
        let journals = self.browser.run_async(
            "const done = request => new Promise((well, ill) => { request.onsuccess = () => well(request.result); request.onerror = ill; });
             const database = await done(indexedDB.open('mudi-masks'));
             const keys = await done(database.transaction('journals').objectStore('journals').getAllKeys());
             database.close();
             return keys.length;",
            &json!([]),
        );
        journals.as_u64()
    }

    /// Waits until the server has this mask.
    pub(crate) fn until_saved(&self, photo: &str, wanted: &GrayImage) {
        let has = || self.tag(photo).is_some().then(|| self.mask(photo));
        let missing = || {
            let Some(has) = has() else { return "there is no mask".to_owned() };
            let pairs = has.as_raw().iter().zip(wanted.as_raw());
            let differences: Vec<u8> = pairs.map(|(a, b)| a.abs_diff(*b)).filter(|by| *by > 0).collect();
            format!(
                "{} pixels of the mask differ, by at most {:?}",
                differences.len(),
                differences.iter().max()
            )
        };
        until(missing, || has().filter(|has| has == wanted));
        self.settled();
    }

    /// The mask's tag.
    pub(crate) fn tag(&self, photo: &str) -> Option<String> {
        let photo: Value = self.client.get(&self.api(&format!("photos/{photo}"))).value();
        photo["mask"].as_str().map(str::to_owned)
    }

    /// The mask that the server has.
    pub(crate) fn mask(&self, photo: &str) -> GrayImage {
        let bytes = self.client.get(&self.api(&format!("photos/{photo}/mask"))).well().bytes;
        image::load_from_memory(&bytes).expect("an image").to_luma8()
    }

    /// The place of the window that shows a place of the photo.
    pub(crate) fn on_screen(&self, twin: &MaskEditor, place: (f64, f64)) -> (f64, f64) {
        let [left, top, ..] = self.browser.place(".mask-marks");
        let (x, y) = twin.view().to_screen(place);
        ((x + left).round(), (y + top).round())
    }

    /// The same editor without a browser, with the same window.
    pub(crate) fn twin(&self, width: u32, height: u32) -> MaskEditor {
        let size = self.browser.run(
            "const frame = document.querySelector('.mask-frame'); return [frame.clientWidth, frame.clientHeight]",
        );
        let [wide, high] = [0, 1].map(|axis| size[axis].as_f64().expect("a number"));
        let mut twin = MaskEditor::new(GrayImage::new(width, height), None, (wide, high));
        twin.update(Message::View(ViewChange::Actual));
        twin
    }

    /// Draws the same line in the twin: `places` are the window's.
    pub(crate) fn twin_drag(&self, twin: &mut MaskEditor, places: &[(f64, f64)], let_go: bool) {
        let [left, top, ..] = self.browser.place(".mask-marks");
        let mut send = |phase: Phase, (x, y): (f64, f64)| {
            let (kind, button, keys) = (PointerKind::Mouse, Button::Primary, Keys::default());
            let at = (x - left, y - top);
            twin.update(Message::Pointer(Pointer { id: 1, kind, phase, at, pressure: 0.5, button, keys }));
        };
        send(Phase::Down, places[0]);
        places[1..].iter().for_each(|&place| send(Phase::Move, place));
        if let_go {
            send(Phase::Up, places[places.len() - 1]);
        }
    }

    /// The colours of a canvas that a CSS selector finds, three bytes a pixel.
    pub(crate) fn pixels(&self, canvas: &str) -> Vec<u8> {
        let text = self.browser.run_async(
            "const canvas = document.querySelector(args[0]);
             const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
             let text = '';
             for (let at = 0; at < pixels.length; at += 4) text += String.fromCharCode(pixels[at], pixels[at + 1], pixels[at + 2]);
             return btoa(text);",
            &json!([canvas]),
        );
        BASE64_STANDARD.decode(text.as_str().expect("text")).expect("base64")
    }

    /// What the editor shows where the photo of that size is, one byte a pixel: the mask itself, if it shows that alone, at one
    /// pixel of the photo for one of the screen.
    pub(crate) fn seen(&self, twin: &MaskEditor) -> Vec<u8> {
        let (width, height) = twin.mask().dimensions();
        let (x, y) = (twin.view().x.round(), twin.view().y.round());
        let text = self.browser.run_async(
            "await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
             const canvas = document.querySelector('.mask-ground');
             const pixels = canvas.getContext('2d').getImageData(args[0], args[1], args[2], args[3]).data;
             let text = '';
             for (let at = 0; at < pixels.length; at += 4) text += String.fromCharCode(pixels[at]);
             return btoa(text);",
            &json!([x, y, width, height]),
        );
        BASE64_STANDARD.decode(text.as_str().expect("text")).expect("base64")
    }
}
