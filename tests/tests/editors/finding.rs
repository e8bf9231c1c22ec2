//! Looking for a subject by its colours, in a worker: the page goes on meanwhile.

use image::ImageFormat;
use mudi_domain::grabcut::{Hints, cut_out};
use mudi_tests::hands::Kind;
use serde_json::json;

use super::room::{ENTER, Room, encoded, photo};

/// A photo of 24 megapixels.
const LARGE: (u32, u32) = (6000, 4000);

/// Presses “Find the subject” and counts frames until it is found: the longest time between two of them while the worker is at it, in
/// milliseconds, how many there were, and how long it took altogether.
const WATCH: &str = "
    const looking = () => !!document.querySelector('.mask-found progress');
    const found = () => !!document.querySelector('.mask-found .primary');
    const begin = performance.now();
    [...document.querySelectorAll('.mask-panel button')].find(one => one.innerText === 'Find the subject').click();
    let last = null, longest = 0, frames = 0, rounds = 0, taken = 0;
    while (!found()) {
        const now = await new Promise(requestAnimationFrame);
        const bar = document.querySelector('.mask-found progress');
        rounds = Math.max(rounds, Number(bar?.getAttribute('value') ?? 0));
        if (last !== null && looking()) { longest = Math.max(longest, now - last); frames++; }
        if (last !== null && found()) taken = now - last;
        last = now;
    }
    return { longest, frames, rounds, taken, whole: performance.now() - begin };
";

fn large() -> Room {
    let room = Room::new(1440, 900);
    let id = room.upload("a", &encoded(photo(LARGE.0, LARGE.1), ImageFormat::Jpeg));
    room.browser.go(&room.address(&format!("photos/{id}/mask")));
    room.ready();
    room
}

#[test]
fn a_mask_is_that_of_the_same_code_outside_of_a_browser() {
    let room = Room::new(1200, 800);
    let (width, height) = (400, 300);
    let id = room.open_mask(width, height);
    let twin = room.twin(width, height);
    room.browser.keys("m");
    let corners = [(70.0, 30.0), (330.0, 270.0)];
    room.browser.drag(Kind::Mouse, &corners.map(|place| room.on_screen(&twin, place)));
    room.browser.sees("Blue is what was found");
    room.browser.keys(ENTER);
    let saved = room.saved(&id, None);
    let hints = Hints { bounds: Some([70.0, 30.0, 330.0, 270.0]), strokes: Vec::new() };
    let wanted = cut_out(&photo(width, height), &hints, |_| {}).into_gray();
    let differing = saved.as_raw().iter().zip(wanted.as_raw()).filter(|(a, b)| a != b).count();
    println!("{differing} pixels differ");
    assert!(saved.as_raw().contains(&255) && differing == 0, "{differing} pixels differ");
}

#[test]
fn the_page_goes_on_while_a_subject_is_looked_for() {
    let room = large();
    let seen = room.browser.run_async(WATCH, &json!([]));
    let number = |name: &str| seen[name].as_f64().expect("a number");
    println!(
        "looking takes {:.0} ms and {} rounds; the longest of {} frames {:.0} ms, that in which the mask is taken in {:.0} ms",
        number("whole"),
        number("rounds"),
        number("frames"),
        number("longest"),
        number("taken")
    );
    assert!(number("frames") > 1.0 && number("rounds") >= 1.0, "{seen}");
    // Another process may take the processor at any time, so only what is far off fails: on the page's own thread it would
    // be all of the time.
    assert!(number("longest") < (0.5 * number("whole")).max(200.0), "{seen}");
    // There is no mask yet, which the server says by 404.
    let known = |complaint: &String| complaint.contains("/mask - Failed to load resource");
    let complaints: Vec<String> =
        room.browser.complaints().into_iter().filter(|complaint| !known(complaint)).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn a_search_is_cancelled_at_once_and_the_next_one_finds() {
    let room = large();
    room.browser.press("Find the subject");
    room.browser.until_true("document.querySelector('.mask-found progress')");
    room.browser.press("Cancel");
    room.browser.until_true("!document.querySelector('.mask-found')");
    // What was cancelled does not come after all.
    std::thread::sleep(std::time::Duration::from_secs(4));
    room.browser.until_true("!document.querySelector('.mask-found')");
    room.browser.press("Find the subject");
    room.browser.sees("Blue is what was found");
}

#[test]
fn a_worker_that_does_not_start_is_a_fault_that_says_so() {
    let room = Room::new(1200, 800);
    let _id = room.open_mask(400, 300);
    // A script that is not there, and one that breaks when it starts, as where its program does not come.
    let broken = "const failing = URL.createObjectURL(new Blob(['await Promise.reject(1)'], { type: 'text/javascript' }));
        window.Proper ??= Worker;
        window.Worker = function(script, options) { return new Proper(SCRIPT ?? failing, options); };";
    for script in ["'/no-such-worker.js'", "null"] {
        let _ = room.browser.run(&broken.replace("SCRIPT", script));
        room.browser.press("Find the subject");
        room.browser.sees("What looks for the subject could not be started");
        room.browser.press("Close");
    }
    let _ = room.browser.run("window.Worker = Proper");
    room.browser.press("Find the subject");
    room.browser.sees("Blue is what was found");
}
