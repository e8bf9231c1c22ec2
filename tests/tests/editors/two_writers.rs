//! Two who draw on one mask: nobody overwrites the other unasked.

use image::{GrayImage, ImageFormat, Luma};
use mudi_tests::hands::Kind;
use serde_json::json;

use super::room::{Room, encoded};

const SIZE: (u32, u32) = (200, 150);

/// Makes what the browser keeps a minute older.
const AGE: &str = "
    const done = request => new Promise((well, ill) => { request.onsuccess = () => well(request.result); request.onerror = ill; });
    const database = await done(indexedDB.open('mudi-masks'));
    const store = database.transaction('journals', 'readwrite').objectStore('journals');
    for (const key of await done(store.getAllKeys())) {
        const kept = JSON.parse(await done(store.get(key)));
        await done(store.put(JSON.stringify({ ...kept, written: kept.written - 60000 }), key));
    }
    database.close();
";

fn stripe() -> GrayImage {
    GrayImage::from_fn(SIZE.0, SIZE.1, |x, _| Luma([if x < 30 { 255 } else { 0 }]))
}

/// Draws a dot, and before it is saved somebody else saves a stripe.
fn conflict(room: &Room, id: &str) {
    let twin = room.twin(SIZE.0, SIZE.1);
    room.browser.drag(Kind::Mouse, &[room.on_screen(&twin, (120.0, 70.0))]);
    let theirs = encoded(stripe(), ImageFormat::Png);
    let path = room.api(&format!("photos/{id}/mask"));
    room.client.with("if-none-match", "*").send("PUT", &path, Some(&theirs)).well();
    room.browser.sees("was changed in another window");
    assert_eq!(room.mask(id), stripe(), "nothing is written before a choice");
}

#[test]
fn a_conflict_is_resolved_by_a_choice() {
    let room = Room::new(1000, 700);
    for (button, stripe_stays, dot_stays) in [(1, false, true), (2, true, false), (3, true, true)] {
        let id = room.open_mask(SIZE.0, SIZE.1 + button);
        let before = room.tag(&id);
        assert_eq!(before, None);
        let twin = room.twin(SIZE.0, SIZE.1 + button);
        room.browser.drag(Kind::Mouse, &[room.on_screen(&twin, (120.0, 70.0))]);
        let theirs = GrayImage::from_fn(SIZE.0, SIZE.1 + button, |x, _| Luma([if x < 30 { 255 } else { 0 }]));
        let path = room.api(&format!("photos/{id}/mask"));
        let bytes = encoded(theirs.clone(), ImageFormat::Png);
        room.client.with("if-none-match", "*").send("PUT", &path, Some(&bytes)).well();
        room.browser.sees("was changed in another window");
        assert_eq!(room.mask(&id), theirs, "nothing is written before a choice");
        room.browser.press_at(&format!(".decision button:nth-child({button})"));
        room.settled();
        let mask = room.mask(&id);
        let stays = |x: u32, y: u32| mask.get_pixel(x, y)[0] == 255;
        assert_eq!((stays(10, 70), stays(120, 70)), (stripe_stays, dot_stays), "button {button}");
    }
}

#[test]
fn another_window_shows_what_was_drawn_in_the_first() {
    let room = Room::new(1000, 700);
    let id = room.open_mask(SIZE.0, SIZE.1);
    let first = room.browser.another_window();
    room.enter_mask(&id);
    let twin = room.twin(SIZE.0, SIZE.1);
    room.browser.drag(Kind::Mouse, &[room.on_screen(&twin, (120.0, 70.0))]);
    let drawn = room.saved(&id, None);
    room.browser.switch(&first);
    room.browser.until_true(
        "document.querySelector('.mask-tools [title*=\"Ctrl+Z\"]').title.includes('The other version')",
    );
    room.settled();
    // And goes on from there.
    let tag = room.tag(&id);
    room.browser.drag(Kind::Mouse, &[room.on_screen(&twin, (40.0, 40.0))]);
    let both = room.saved(&id, tag.as_deref());
    assert!(drawn.as_raw().iter().zip(both.as_raw()).all(|(drawn, both)| both >= drawn));
    assert_eq!((both.get_pixel(120, 70)[0], both.get_pixel(40, 40)[0]), (255, 255));
    // One that has had no network for a while is there all the same: its work is not given to others.
    room.browser.offline(true);
    let tag = room.tag(&id);
    room.browser.drag(Kind::Mouse, &[room.on_screen(&twin, (160.0, 110.0))]);
    room.browser.sees("It is tried again every few seconds");
    // What is kept is kept once more after the failure.
    std::thread::sleep(std::time::Duration::from_millis(800));
    let _aged = room.browser.run_async(AGE, &json!([]));
    let _first = room.browser.another_window();
    room.enter_mask(&id);
    assert!(!room.browser.text().contains("unsaved work"), "{}", room.browser.text());
    room.browser.switch(&first);
    room.browser.offline(false);
    assert_eq!(room.saved(&id, tag.as_deref()).get_pixel(160, 110)[0], 255);
}

#[test]
fn work_that_was_kept_for_another_mask_is_offered() {
    let room = Room::new(1000, 700);
    let id = room.open_mask(SIZE.0, SIZE.1);
    conflict(&room, &id);
    room.browser.reload();
    room.browser.sees("There is unsaved work of yours");
    room.browser.press_at(".decision .primary");
    let tag = room.tag(&id);
    let mask = room.saved(&id, tag.as_deref());
    assert_eq!((mask.get_pixel(10, 70)[0], mask.get_pixel(120, 70)[0]), (255, 255));
}
