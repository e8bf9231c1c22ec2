//! Layouts, arranged by mouse, finger and keys.

use image::{GrayImage, ImageFormat, Luma};
use mudi_domain::aspect::Aspect;
use mudi_domain::cutout::Cutout;
use mudi_domain::layout::Layout;
use mudi_domain::mask::Mask;
use mudi_tests::hands::Kind;
use mudi_tests::patience::until;
use serde_json::{Value, json};

use super::room::{CONTROL, RIGHT, Room, SHIFT, encoded, photo};

/// Photos' sizes: of subject `a` and of `b`.
const SIZES: [(u32, u32); 2] = [(90, 120), (120, 100)];

fn mask((width, height): (u32, u32)) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        let (dx, dy) =
            (2.0 * f64::from(x) / f64::from(width) - 1.0, 2.0 * f64::from(y) / f64::from(height) - 1.0);
        Luma([if dx * dx + dy * dy < 0.7 { 255 } else { 0 }])
    })
}

/// The canvas under the pointer reaches so far beyond the layout's, in heights of that.
const AROUND: f64 = 0.12;

pub(crate) struct Desk {
    pub(crate) room: Room,
    layout: String,
}

impl Desk {
    fn new(width: u32, height: u32) -> Self {
        Self::in_room(Room::new(width, height))
    }

    pub(crate) fn in_room(room: Room) -> Self {
        for (subject, size) in ["a", "b"].into_iter().zip(SIZES) {
            let id = room.upload(subject, &encoded(photo(size.0, size.1), ImageFormat::Png));
            let bytes = encoded(mask(size), ImageFormat::Png);
            let path = room.api(&format!("photos/{id}/mask"));
            room.client.with("if-none-match", "*").send("PUT", &path, Some(&bytes)).well();
        }
        let layout = json!({ "version": 1, "subjects": [
            { "subject": "a", "photo": 0, "x": 0.1, "y": 0.2, "width": 0.35, "z": 0 },
            { "subject": "b", "photo": 0, "x": 0.5, "y": 0.3, "width": 0.4, "z": 1 },
        ] });
        let made = room.client.post(&room.api("layouts"), &json!({ "name": "Both", "value": layout }));
        let layout = made["id"].as_str().expect("an id").to_owned();
        let desk = Self { room, layout };
        desk.open();
        desk
    }

    pub(crate) fn open(&self) {
        self.room.browser.go(&self.room.address(&format!("layouts/{}", self.layout)));
        self.ready();
    }

    fn ready(&self) {
        self.room.browser.until_true(
            "document.querySelector('.easel canvas')?.width > 100 && !document.querySelector('.easel-note')",
        );
        self.room.settled();
    }

    /// The place of the window that shows a place of the canvas.
    pub(crate) fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [left, top, _, height] = self.room.browser.place(".easel canvas");
        let unit = height / (1.0 + 2.0 * AROUND);
        ((left + (x + AROUND) * unit).round(), (top + (y + AROUND) * unit).round())
    }

    /// Gives the canvas other proportions.
    pub(crate) fn shape(&self, word: &str) {
        let _chosen = self.room.browser.run(&format!(
            "const list = document.querySelector('.layout-tools select');
             list.value = '{word}';
             list.dispatchEvent(new Event('change'))"
        ));
    }

    pub(crate) fn stored(&self) -> Value {
        self.room.client.get(&self.room.api(&format!("layouts/{}", self.layout))).value()
    }

    /// The layout, once it is as `wanted` says.
    fn until(&self, wanted: impl Fn(&Layout) -> bool) -> Layout {
        let of = |stored: &Value| Layout::from_json(&stored["value"].to_string()).expect("a layout");
        let path = self.room.api(&format!("layouts/{}", self.layout));
        let stored = self.room.client.until(&path, |stored| wanted(&of(stored)));
        self.room.settled();
        of(&stored)
    }
}

#[test]
fn what_is_dragged_and_turned_is_saved_and_the_exact_canvas_is_the_servers() {
    let desk = Desk::new(1400, 900);
    let browser = &desk.room.browser;
    // Subject a, from its middle; with Alt nothing snaps.
    browser.drag(Kind::Mouse, &[desk.at((0.275, 0.43)), desk.at((0.4, 0.5)), desk.at((0.375, 0.53))]);
    let moved = desk.until(|layout| layout.subjects[0].x > 0.15);
    assert!(
        (moved.subjects[0].x - 0.2).abs() < 0.02 && (moved.subjects[1].x - 0.5).abs() < 1e-9,
        "{moved:?}"
    );
    browser.keys("f...]");
    browser.keys_with(SHIFT, ">");
    let turned = desk.until(|layout| layout.subjects[0].rotation > 17.0);
    assert!(turned.subjects[0].flip && turned.subjects[0].z > turned.subjects[1].z, "{turned:?}");

    // To the pixel what the domain renders, which is what is encoded.
    let cutouts = SIZES
        .map(|size| Cutout::new(&photo(size.0, size.1), &Mask::from_gray(mask(size))).expect("a cutout"));
    let lookup =
        |subject: &mudi_domain::subject::SubjectId, _| Some(&cutouts[usize::from(subject.as_str() == "b")]);
    let expected = turned.render((512, 512), lookup).expect("a collage").image;
    browser.until_true("document.querySelector('.exact-canvas').width === 512");
    // It is drawn some moments after the last change.
    let seen = || desk.room.pixels(".exact-canvas");
    let missing = || {
        let differing = seen().iter().zip(expected.as_raw()).filter(|(a, b)| a != b).count();
        format!("{differing} values of {} differ", expected.as_raw().len())
    };
    until(missing, || (seen() == *expected.as_raw()).then_some(()));

    // All of it back.
    for _ in 0..9 {
        browser.keys_with(CONTROL, "z");
    }
    let back = desk.until(|layout| layout.subjects[0].rotation == 0.0 && layout.subjects[0].x < 0.15);
    assert!(!back.subjects[0].flip && (back.subjects[0].x - 0.1).abs() < 1e-9, "{back:?}");
}

#[test]
fn two_fingers_scale_and_turn() {
    let desk = Desk::new(800, 1100);
    let browser = &desk.room.browser;
    let (x, y) = desk.at((0.275, 0.43));
    browser.drag(Kind::Touch, &[(x, y)]);
    browser.pinch([&[(x - 30.0, y), (x - 60.0, y)], &[(x + 30.0, y), (x + 60.0, y)]]);
    let pinched = desk.until(|layout| layout.subjects[0].width > 0.5);
    assert!((pinched.subjects[0].width - 0.7).abs() < 0.05, "{pinched:?}");
}

#[test]
fn keys_move_by_pixels_and_the_list_chooses() {
    let desk = Desk::new(1400, 900);
    let browser = &desk.room.browser;
    browser.press_at(".pieces li:first-child .piece");
    browser.keys(&[RIGHT, RIGHT, RIGHT].concat());
    let moved = desk.until(|layout| layout.subjects[1].x > 0.5);
    assert!((moved.subjects[1].x - 0.5 - 3.0 / 512.0).abs() < 1e-9, "{moved:?}");
    browser.keys_with(CONTROL, "d");
    assert_eq!(desk.until(|layout| layout.subjects.len() == 3).subjects[2].subject.as_str(), "b");
    browser.keys("\u{e017}");
    assert_eq!(desk.until(|layout| layout.subjects.len() == 2).subjects.len(), 2);
}

#[test]
fn a_layout_that_was_changed_elsewhere_is_not_overwritten() {
    let desk = Desk::new(1400, 900);
    let browser = &desk.room.browser;
    let mut theirs = desk.stored();
    theirs["value"]["subjects"][0]["width"] = json!(0.2);
    let document = json!({ "name": "Theirs", "value": theirs["value"] });
    desk.room.client.json("PUT", &desk.room.api(&format!("layouts/{}", desk.layout)), &document).well();
    browser.press_at(".pieces li:first-child .piece");
    browser.keys_with(SHIFT, RIGHT);
    browser.sees("was changed in another window");
    assert_eq!(desk.stored()["name"], "Theirs");
    browser.press_at(".decision button:nth-child(2)");
    desk.room.settled();
    browser.until_true("document.querySelector('.layout-name input').value === 'Theirs'");
    // One's own is one step back.
    browser.keys_with(CONTROL, "z");
    let mine = desk.until(|layout| (layout.subjects[0].width - 0.35).abs() < 1e-9);
    assert!(mine.subjects[1].x > 0.5);
    // Where one may not change it any more nothing is sent again before somebody wants that.
    let _refused = browser.run(
        "window.ask = window.fetch;
         window.tries = 0;
         const answer = JSON.stringify({ status: 403, title: '', code: 'no_access', detail: 'no' });
         window.fetch = (request, options) => request.method !== 'PUT' ? window.ask(request, options)
             : (window.tries++, Promise.resolve(new Response(answer, { status: 403 })));",
    );
    browser.press_at(".pieces li:first-child .piece");
    browser.keys(RIGHT);
    browser.sees("does not let you change this layout any more");
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(browser.run("return window.tries"), json!(1));
    let _allowed = browser.run("window.fetch = window.ask");
    browser.press("Try again");
    desk.until(|layout| layout.subjects[1].x > mine.subjects[1].x);
}

#[test]
fn a_photo_that_is_deleted_leaves_the_numbers_of_the_others() {
    let desk = Desk::new(1400, 900);
    let (room, browser) = (&desk.room, &desk.room.browser);
    let size = (70, 110);
    let later = room.upload("a", &encoded(photo(size.0, size.1), ImageFormat::Png));
    let draw = |id: &str, size: (u32, u32)| {
        let bytes = encoded(mask(size), ImageFormat::Png);
        let path = room.api(&format!("photos/{id}/mask"));
        room.client.with("if-none-match", "*").send("PUT", &path, Some(&bytes)).well();
    };
    draw(&later, size);
    let spare = room.upload("b", &encoded(photo(60, 110), ImageFormat::Png));
    draw(&spare, (60, 110));
    let mut layout = desk.stored();
    layout["value"]["subjects"][0]["photo"] = json!(1);
    let document = json!({ "name": "Both", "value": layout["value"] });
    room.client.json("PUT", &room.api(&format!("layouts/{}", desk.layout)), &document).well();
    let first = room.client.get(&room.api("photos?subject=a")).value()["items"][0]["id"].clone();
    room.client.delete(&room.api(&format!("photos/{}", first.as_str().expect("an id"))));
    desk.open();
    assert!(browser.text().contains("photo 2"), "{}", browser.text());
    assert!(!browser.text().contains("has no mask or is gone"), "{}", browser.text());
    // Of what is not on the canvas the small mask does.
    let read = |end: &str| {
        format!(
            "performance.getEntriesByType('resource').some(entry => entry.name.split('?')[0].endsWith('{end}'))"
        )
    };
    browser.until_true(&read(&format!("{spare}/mask/thumbnail")));
    browser.until_true(&read(&format!("{later}/mask")));
    browser.until_true(&format!("!{}", read(&format!("{spare}/mask"))));
    // What is put on the canvas now is the same photo.
    browser.press_at("[aria-label='Put photo 2 of olis brown bear on the canvas']");
    let put = desk.until(|layout| layout.subjects.len() == 3);
    assert_eq!((put.subjects[2].subject.as_str(), put.subjects[2].photo), ("a", Some(1)));
}

#[test]
fn a_random_layout_and_gamma_can_be_seen() {
    let desk = Desk::new(1400, 900);
    let browser = &desk.room.browser;
    browser.press_at(".layout-tools > .button");
    let random = desk.until(|layout| (layout.subjects[0].x - 0.1).abs() > 1e-6);
    assert_eq!(random.subjects.len(), 2);
    browser.until_true("document.querySelectorAll('.noise-row canvas').length === 5");
    browser.press_at(".noise:nth-child(4)");
    browser.until_true("document.querySelector('.layout-studio a[href*=\"gamma=3.0\"]')");

    // On a canvas of another shape all stay as far from its middle, and can be moved where there was none before.
    let proportions = || {
        let [.., width, height] = browser.place(".easel canvas");
        width / height
    };
    assert!((proportions() - 1.0).abs() < 0.01);
    desk.shape("5:2");
    let wide = desk.until(|layout| layout.aspect == Aspect::Panorama);
    for (placed, was) in wide.subjects.iter().zip(&random.subjects) {
        assert!((placed.x - was.x - 0.75).abs() < 1e-9, "{wide:?}");
    }
    let expected = (2.5 + 2.0 * AROUND) / (1.0 + 2.0 * AROUND);
    assert!((proportions() - expected).abs() < 0.02, "{}", proportions());
    browser.until_true("document.querySelector('.exact-canvas').width === 800");
    browser.until_true("document.querySelector('.exact-canvas').height === 320");
    let top = usize::from(wide.subjects[1].z > wide.subjects[0].z);
    let placed = &wide.subjects[top];
    let height = placed.height.expect("random layouts have heights");
    let (x, y) = (placed.x + placed.width / 2.0, placed.y + height / 2.0);
    browser.drag(Kind::Mouse, &[desk.at((x, y)), desk.at((x + 0.2, y)), desk.at((x + 0.4, y))]);
    let moved = desk.until(|layout| layout.subjects[top].x > placed.x + 0.3);
    assert!((moved.subjects[top].x - placed.x - 0.4).abs() < 0.03, "{moved:?}");
    browser.keys_with(CONTROL, "z");
    browser.keys_with(CONTROL, "z");
    assert_eq!(desk.until(|layout| layout.aspect == Aspect::Square), random);
    assert!((proportions() - 1.0).abs() < 0.01);
    browser.until_true("document.querySelector('.layout-tools select').value === '1:1'");
}
