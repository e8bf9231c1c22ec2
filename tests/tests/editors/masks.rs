//! Masks, drawn by mouse, pen, finger and keys.

use image::{GrayImage, ImageFormat};
use mudi_domain::rng;
use mudi_editor::mask::{Edit, Held, Message, Tool, key_message};
use mudi_tests::hands::Kind;
use mudi_tests::patience::until;
use rand::Rng;
use serde_json::json;

use super::room::{CONTROL, DOWN, ENTER, RIGHT, Room, SHIFT, encoded, photo};

const SIZE: (u32, u32) = (400, 300);

#[test]
fn a_stroke_is_saved_to_the_pixel() {
    let room = Room::new(1200, 800);
    let id = room.open_mask(SIZE.0, SIZE.1);
    let mut twin = room.twin(SIZE.0, SIZE.1);
    let line: Vec<_> = [(60.0, 60.0), (150.0, 90.0), (200.0, 200.0), (320.0, 140.0)]
        .map(|place| room.on_screen(&twin, place))
        .into();
    room.browser.drag(Kind::Mouse, &line);
    room.twin_drag(&mut twin, &line, true);
    room.until_saved(&id, twin.mask());
    assert!(twin.mask().as_raw().contains(&255));

    // The eraser, and a lasso.
    room.browser.keys("e");
    twin.update(Message::Tool(Tool::Eraser));
    let line: Vec<_> = [(150.0, 60.0), (150.0, 220.0)].map(|place| room.on_screen(&twin, place)).into();
    room.browser.drag(Kind::Mouse, &line);
    room.twin_drag(&mut twin, &line, true);
    room.browser.keys("l");
    twin.update(Message::Tool(Tool::Lasso));
    let line: Vec<_> = [(250.0, 30.0), (380.0, 60.0), (330.0, 250.0), (240.0, 180.0)]
        .map(|place| room.on_screen(&twin, place))
        .into();
    room.browser.drag(Kind::Mouse, &line);
    room.twin_drag(&mut twin, &line, true);
    room.until_saved(&id, twin.mask());

    // An answer that is lost on its way makes nobody else of whoever has drawn.
    let lose = || {
        let _lost = room.browser.run(
            "const ask = window.fetch;
             window.fetch = (request, options) => request.method !== 'PUT' ? ask(request, options)
                 : ask(request, options).then(() => { window.fetch = ask; throw new TypeError('lost'); });",
        );
    };
    lose();
    room.browser.keys("i");
    twin.update(Message::Edit(Edit::Invert));
    room.until_saved(&id, twin.mask());
    assert!(!room.browser.text().contains("was changed in another window"));

    // Taken away altogether, and brought back as a new mask.
    let masked = |wanted: bool| {
        room.client.until(&room.api(&format!("photos/{id}")), |photo| photo["mask"].is_null() != wanted);
    };
    room.browser.press("Remove the mask");
    masked(false);
    room.settled();
    room.browser.until_true("[...document.querySelectorAll('.mask-panel button')].at(-1).disabled");
    room.browser.keys_with(CONTROL, "z");
    room.until_saved(&id, twin.mask());

    // A first mask that was taken back goes, too, where nobody was told that it had arrived.
    room.browser.press("Remove the mask");
    masked(false);
    room.settled();
    lose();
    room.browser.keys("i");
    masked(true);
    room.browser.keys_with(CONTROL, "z");
    masked(false);
    room.settled();
}

#[test]
fn a_failed_save_leaves_everything_within_reach_on_a_phone() {
    let room = Room::new(390, 780);
    let id = room.open_mask(200, 150);
    room.browser.offline(true);
    room.browser.keys("i");
    room.browser.sees("It is tried again every few seconds");
    for name in ["Keys", "Settings"] {
        let [left, _, width, _] = room.browser.place(&format!("[aria-label='{name}']"));
        assert!(left >= 0.0 && left + width <= 390.0, "{name} ends at {}", left + width);
    }
    room.browser.press("Settings");
    room.browser.until_true("document.querySelector('.mask-panel').checkVisibility()");
    room.browser.press("Settings");
    room.browser.until_true("!document.querySelector('.mask-panel').checkVisibility()");
    room.browser.offline(false);
    let saved = room.saved(&id, None);
    assert!(saved.as_raw().iter().all(|&coverage| coverage == 255));
    room.browser.sees_no("It is tried again every few seconds");
}

#[test]
fn a_hundred_random_operations_are_undone_and_done_again_to_the_byte() {
    let room = Room::new(1200, 800);
    let id = room.open_mask(SIZE.0, SIZE.1);
    let twin = room.twin(SIZE.0, SIZE.1);
    // The view that shows the mask and nothing else.
    room.browser.press_at(".mask-panel .chip:nth-child(5)");
    let mut random = rng::stream(11, "test", 0);
    let mut states = vec![room.seen(&twin)];
    let undo = "document.querySelector('.mask-tools [title*=\"Ctrl+Z\"]')";
    while states.len() <= 100 {
        let place = |random: &mut rng::Stream| {
            let place = (random.random_range(0.0..400.0), random.random_range(0.0..300.0));
            room.on_screen(&twin, place)
        };
        match random.random_range(0..10) {
            0 => room.browser.keys("i"),
            1 => room.browser.keys("g"),
            2 => room.browser.keys("s"),
            3 => room.browser.keys("f"),
            choice => {
                room.browser.keys(["b", "e", "l", "b", "e", "b"][choice - 4]);
                let line: Vec<_> = (0..3).map(|_| place(&mut random)).collect();
                room.browser.drag([Kind::Mouse, Kind::Pen][choice % 2], &line);
            }
        }
        let seen = room.seen(&twin);
        // What changes nothing is not a step.
        if Some(&seen) != states.last() {
            states.push(seen);
        }
    }
    for (step, state) in states.iter().enumerate().rev().skip(1) {
        room.browser.keys_with(CONTROL, "z");
        assert!(room.seen(&twin) == *state, "step {step} is not what it was");
    }
    room.browser.until_true(&format!("{undo}.disabled"));
    for (step, state) in states.iter().enumerate().skip(1) {
        room.browser.keys_with(CONTROL, "y");
        assert!(room.seen(&twin) == *state, "step {step} is not what it was again");
    }
    let last = GrayImage::from_raw(SIZE.0, SIZE.1, states.pop().expect("a state")).expect("as many bytes");
    room.until_saved(&id, &last);
}

#[test]
fn a_reload_in_the_middle_of_a_stroke_loses_nothing() {
    let room = Room::new(1200, 800);
    let id = room.open_mask(SIZE.0, SIZE.1);
    let mut twin = room.twin(SIZE.0, SIZE.1);
    let line: Vec<_> =
        [(60.0, 60.0), (150.0, 90.0), (300.0, 200.0)].map(|place| room.on_screen(&twin, place)).into();
    room.browser.hold(&line);
    room.twin_drag(&mut twin, &line, false);
    // The journal is written some moments later, and once more for what came meanwhile.
    until(|| "nothing is kept".to_owned(), || room.journals().filter(|count| *count == 1));
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(room.tag(&id), None, "a stroke that is being drawn is not saved");
    room.browser.reload();
    room.browser.sees("Your unsaved work is back");
    room.until_saved(&id, twin.mask());
    // What is removed and not known to the server yet is gone after a reload, too, and not empty.
    until(|| "what is saved is kept".to_owned(), || room.journals().filter(|count| *count == 0));
    room.browser.offline(true);
    room.browser.press("Remove the mask");
    until(|| "nothing is kept".to_owned(), || room.journals().filter(|count| *count == 1));
    room.browser.offline(false);
    room.browser.reload();
    room.client.until(&room.api(&format!("photos/{id}")), |photo| photo["mask"].is_null());
    room.ready();
    assert!(!room.browser.text().contains("unsaved work of yours"), "nobody is asked about it");
}

#[test]
fn a_link_that_is_followed_at_once_leaves_a_mask_that_is_saved() {
    let room = Room::new(1200, 800);
    let id = room.open_mask(SIZE.0, SIZE.1);
    let mut twin = room.twin(SIZE.0, SIZE.1);
    let line: Vec<_> = [(60.0, 60.0), (300.0, 200.0)].map(|place| room.on_screen(&twin, place)).into();
    room.browser.drag(Kind::Mouse, &line);
    room.twin_drag(&mut twin, &line, true);
    room.browser.press("Photos");
    // The page of photos is another program: it is loaded once the mask has arrived.
    room.browser.sees("Every photo has its mask.");
    assert!(room.mask(&id) == *twin.mask());
    room.enter_mask(&id);
    assert!(!room.browser.text().contains("unsaved work"), "its journal is gone");
    // One that is removed then is gone, and not an empty one.
    room.browser.press("Remove the mask");
    room.browser.press("Photos");
    room.client.until(&room.api(&format!("photos/{id}")), |photo| photo["mask"].is_null());
}

#[test]
fn what_is_drawn_during_a_save_is_saved_when_the_page_is_left() {
    let room = Room::new(1200, 800);
    let other = room.upload("b", &encoded(photo(90, 60), ImageFormat::Png));
    let id = room.open_mask(SIZE.0, SIZE.1);
    let mut twin = room.twin(SIZE.0, SIZE.1);
    let first: Vec<_> = [(60.0, 60.0), (300.0, 200.0)].map(|place| room.on_screen(&twin, place)).into();
    let second: Vec<_> = [(60.0, 200.0), (300.0, 60.0)].map(|place| room.on_screen(&twin, place)).into();
    let wait = |milliseconds: u32| {
        let slow = json!({ "offline": false, "latency": milliseconds, "downloadThroughput": -1, "uploadThroughput": -1 });
        room.browser.chromium("Network.enable", &json!({}));
        room.browser.chromium("Network.emulateNetworkConditions", &slow);
    };
    wait(3000);
    room.browser.drag(Kind::Mouse, &first);
    room.twin_drag(&mut twin, &first, true);
    room.browser.sees("Saving…");
    room.browser.drag(Kind::Mouse, &second);
    room.twin_drag(&mut twin, &second, true);
    // To another photo and back, before the first stroke has arrived.
    let [forth, back] = if room.browser.text().contains("1 of 2") {
        ["\u{e00f}", "\u{e00e}"]
    } else {
        ["\u{e00e}", "\u{e00f}"]
    };
    room.browser.keys(forth);
    room.browser.until_true(&format!("location.pathname.includes('{other}')"));
    room.browser.keys(back);
    room.browser.until_true(&format!("location.pathname.includes('{id}')"));
    wait(0);
    room.ready();
    room.until_saved(&id, twin.mask());
    let text = room.browser.text();
    assert!(!text.contains("was changed in another window") && !text.contains("unsaved work"), "{text}");
}

#[test]
fn one_finger_draws_and_two_zoom() {
    let room = Room::new(900, 900);
    let id = room.open_mask(SIZE.0, SIZE.1);
    let mut twin = room.twin(SIZE.0, SIZE.1);
    let [left, top, width, height] = room.browser.place(".mask-marks");
    let (x, y) = ((left + width / 2.0).round(), (top + height / 2.0).round());
    room.browser.pinch([&[(x - 40.0, y), (x - 80.0, y)], &[(x + 40.0, y), (x + 80.0, y)]]);
    room.browser.sees("200 %");
    assert_eq!(room.tag(&id), None, "a pinch leaves no trace");
    room.browser.keys("1");
    room.browser.sees("100 %");
    // The pinch has moved the photo: back to the middle.
    room.browser.keys("01");
    let line = [(x - 100.0, y - 50.0), (x + 30.0, y + 20.0)];
    room.browser.drag(Kind::Touch, &line);
    room.twin_drag(&mut twin, &line, true);
    let saved = room.saved(&id, None);
    let differing =
        saved.as_raw().iter().zip(twin.mask().as_raw()).filter(|(a, b)| a.abs_diff(**b) > 128).count();
    assert!(differing < 40 && saved.as_raw().contains(&255), "{differing}");
}

#[test]
fn a_mask_can_be_drawn_by_keys_alone() {
    let room = Room::new(1200, 800);
    let id = room.open_mask(SIZE.0, SIZE.1);
    let mut twin = room.twin(SIZE.0, SIZE.1);
    room.browser.keys(ENTER);
    room.browser.keys_with(SHIFT, &[RIGHT, RIGHT, DOWN].concat());
    room.browser.keys(ENTER);
    for (key, shift) in
        [("Enter", false), ("ArrowRight", true), ("ArrowRight", true), ("ArrowDown", true), ("Enter", false)]
    {
        twin.update(key_message(key, Held { control: false, shift }, false).expect("a key"));
    }
    room.until_saved(&id, twin.mask());
    assert!(twin.mask().as_raw().contains(&255));
    // The sheet of keys opens and closes by keys.
    room.browser.keys("?");
    room.browser.sees("Straight line from where the last one ended");
    room.browser.keys("\u{e00c}");
    room.browser.until_true("!document.querySelector('dialog[open]')");
}

#[test]
fn the_automatic_mask_finds_a_subject_of_its_own_colours() {
    let room = Room::new(1200, 800);
    let id = room.open_mask(SIZE.0, SIZE.1);
    let twin = room.twin(SIZE.0, SIZE.1);
    room.browser.keys("m");
    let corners = [(70.0, 30.0), (330.0, 270.0)].map(|place| room.on_screen(&twin, place));
    room.browser.drag(Kind::Mouse, &corners);
    room.browser.sees("Blue is what was found");
    assert_eq!(room.tag(&id), None, "nothing is changed before it is accepted");
    room.browser.keys(ENTER);
    let saved = room.saved(&id, None);
    let disc = |x: u32, y: u32| (i64::from(x) - 200).pow(2) + (i64::from(y) - 150).pow(2) < 100 * 100;
    let right = saved.enumerate_pixels().filter(|&(x, y, pixel)| (pixel[0] > 127) == disc(x, y)).count();
    assert!(right as f64 / f64::from(SIZE.0 * SIZE.1) > 0.98, "{right} pixels are right");
    // The magic wand takes the sky away that is not there, and finds it.
    let tag = room.tag(&id);
    room.browser.keys("w");
    room.browser.drag(Kind::Mouse, &[room.on_screen(&twin, (20.0, 20.0))]);
    let saved = room.saved(&id, tag.as_deref());
    assert!(saved.get_pixel(380, 10)[0] == 255 && saved.get_pixel(20, 290)[0] == 0);
}

#[test]
fn the_next_photo_is_a_key_away_and_a_broken_mask_says_so() {
    let room = Room::new(1200, 800);
    let first = room.upload("a", &encoded(photo(80, 60), ImageFormat::Png));
    let second = room.upload("a", &encoded(photo(90, 60), ImageFormat::Png));
    let mask = encoded(GrayImage::from_pixel(90, 60, image::Luma([255])), ImageFormat::Png);
    let path = room.api(&format!("photos/{second}/mask"));
    room.client.with("if-none-match", "*").send("PUT", &path, Some(&mask)).well();
    room.enter_mask(&first);
    room.browser.sees("1 of 2");
    room.browser.keys("\u{e00f}");
    room.browser.until_true(&format!("location.pathname.includes('{second}')"));
    room.ready();
    room.browser.sees("2 of 2");
    // Somebody deletes the photo that is drawn on: that cannot be saved, and nobody is asked about it again.
    room.client.delete(&room.api(&format!("photos/{second}")));
    room.browser.keys("i");
    room.browser.sees("This photo was deleted");
    room.browser.sees("Download the mask");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(room.journals(), Some(0), "its journal is of no use");
    room.browser.press("Drop it");
    room.browser.until_true("location.pathname.endsWith('/photos')");
    // The other program is loaded by then; until it is there it would go on over what is gone to next.
    room.browser.sees("Add a subject");
    room.browser.sees_no("not on the server");
    room.browser.go(&room.address("photos/0190a5a0-0000-7000-8000-000000000000/mask"));
    room.browser.sees("There is no such photo");
}
