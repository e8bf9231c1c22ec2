//! A link to play with, from the page where it is made to the picture that follows a subject.

use mudi_tests::browser::{Browser, ENTER};
use mudi_tests::hands::Kind;
use serde_json::{Value, json};

use super::shelf::{PASSWORD, serve_abroad, signed_in, text};

/// Waits until another picture than the last one is finished.
fn another_picture(guest: &Browser) {
    guest.until(
        "another picture",
        "const words = document.querySelector('.live-status')?.innerText || '';
         const now = document.querySelector('.play-picture canvas').toDataURL();
         if (!words.startsWith('Step 2 of 2,') || now === window.seen) return false;
         window.seen = now;
         return true",
    );
}

#[test]
fn a_link_to_play_with_opens_on_subjects_and_the_picture_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve_abroad(folder.path());
    let client = signed_in(&server);
    // Nobody has made a layout of it.
    let project = text(&client.post("/api/samples", &Value::Null)["id"]);

    let owner = Browser::open(&server.address);
    owner.go(&format!("/projects/{project}/share"));
    owner.write("#password", PASSWORD);
    owner.press("Sign in");
    owner.sees("New link");
    owner.press("Play");
    owner.press("Make the link");
    owner.sees("The link is made");
    let link = text(&owner.run("return document.querySelector('.made input').value"));
    assert!(link.contains(&format!("/projects/{project}/play#link=")), "{link}");

    let guest = Browser::open_with_gpu(&server.address);
    guest.size(1280, 800);
    guest.go(&link);
    guest.sees("Move them with the mouse");
    assert_eq!(guest.run("return location.hash"), "", "the secret does not stay in the address");
    guest.until("the form", "return !!document.querySelector('#live-prompt')");
    let steps = "const field = [...document.querySelectorAll('.play-settings input')].find(input => input.max === '30');
        field.value = 2; field.dispatchEvent(new Event('change', { bubbles: true }))";
    let _ = guest.run(steps);
    another_picture(&guest);

    // By mouse: the left one of two, side by side.
    let [left, top, side, _] = guest.place(".easel canvas");
    let from = (left + 0.32 * side, top + 0.5 * side);
    guest.drag(Kind::Mouse, &[from, (from.0, from.1 + 20.0), (from.0 + 30.0, from.1 + 90.0)]);
    another_picture(&guest);

    // By keys.
    guest.tab_to("hta teal bear");
    guest.keys(ENTER);
    guest.keys("\u{e013}\u{e013}+++++");
    another_picture(&guest);
    guest.press("Another");
    another_picture(&guest);
    guest.press("Start over");
    another_picture(&guest);
    // The picture has the canvas's shape.
    guest.run(
        "const shape = document.querySelector('.play-tools .check select'); shape.value = '3:2'; shape.dispatchEvent(new Event('change'))",
    );
    another_picture(&guest);
    let [.., side, height] = guest.place(".play-picture canvas");
    assert!(side > 1.3 * height, "{side} x {height}");
    guest.press("Start over");
    another_picture(&guest);

    // On a phone both are in sight, one below the other.
    guest.size(360, 740);
    let wide = guest.run("const page = document.documentElement; return page.scrollWidth - page.clientWidth");
    assert!(wide.as_i64() <= Some(0), "{wide} pixels too wide");
    let [.., easel_side, easel_height] = guest.place(".easel canvas");
    let [_, top, side, height] = guest.place(".play-picture canvas");
    assert!(easel_side > 200.0 && easel_height > 200.0 && side > 200.0, "{easel_side}, {side}");
    let rail = guest.place(".rail")[1];
    assert!(top + height <= rail, "the picture ends at {}, the rail begins at {rail}", top + height);

    // Nothing of it was the server's work, and nothing is kept.
    for list in ["layouts", "jobs", "images"] {
        let all = client.get(&format!("/api/projects/{project}/{list}")).value();
        assert_eq!(all["items"], json!([]), "{list}");
    }
    assert_eq!(guest.complaints(), Vec::<String>::new());
}
