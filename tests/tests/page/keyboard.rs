//! The way without a mouse.

use mudi_tests::browser::{Browser, ENTER, TAB};

use super::shelf::serve;

#[test]
fn a_project_and_a_subject_by_keyboard_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let browser = Browser::open(&server.address);
    browser.go("/");
    browser.sees("Nothing here yet");
    browser.keys(TAB);
    assert_eq!(browser.run("return document.activeElement.innerText"), "Skip to the content");
    browser.tab_to("New project");
    browser.keys(ENTER);
    browser.until("the name has the focus", "return document.activeElement.id === 'project-name'");
    browser.keys(&format!("By hand{ENTER}"));
    browser.until("the project opens", "return location.pathname.startsWith('/projects/')");
    browser.until("its heading has the focus", "return document.activeElement.tagName === 'H1'");
    browser.tab_to("Photos");
    browser.keys(ENTER);
    browser.sees("Who is it about?");
    browser.tab_to("Add a subject");
    browser.keys(ENTER);
    browser.until("the field has the focus", "return document.activeElement.id === 'subject-identifier'");
    browser.keys("olis");
    browser.tab_to("What it is");
    browser.keys(&format!("brown bear{ENTER}"));
    browser.sees("0 photos");
    browser.until("its photos are next", "return !!document.activeElement.closest('.add-photos')");
    browser.run("document.querySelector('h1').focus()");
    // A dialog closes on Escape, and the focus goes back to what opened it.
    browser.tab_to("Rename “olis brown bear”");
    browser.keys(ENTER);
    browser.until("the dialog is open", "return !!document.querySelector('dialog[open]')");
    browser.keys("\u{e00c}");
    browser.until("the dialog is closed", "return !document.querySelector('dialog[open]')");
    let focused = browser.run("return document.activeElement.getAttribute('aria-label')");
    assert_eq!(focused, "Rename “olis brown bear”");
    // With another name all of it is made anew, and the focus stays.
    browser.keys(ENTER);
    browser.until("the dialog is open", "return document.activeElement.id === 'subject-identifier'");
    browser.tab_to("What it is");
    browser.keys(&format!("bear{ENTER}"));
    browser.until(
        "the focus is back",
        "return document.activeElement.getAttribute('aria-label') === 'Rename “olis bear”'",
    );
    // What is deleted can be fetched back by keyboard too: the focus goes to where that is done, and comes back.
    browser.tab_to("Delete “olis bear”");
    browser.keys(ENTER);
    browser.sees("and its photos are deleted");
    browser.until("the focus is on it", "return document.activeElement.innerText === 'Undo'");
    browser.keys(ENTER);
    browser.sees("0 photos");
    let back = "return document.activeElement.getAttribute('aria-label') === 'Delete “olis bear”'";
    browser.until("the focus is back", back);
    // Outside of fields there are keys for it.
    browser.keys(ENTER);
    browser.sees("and its photos are deleted");
    let undo = "const press = (place, key) => place.dispatchEvent(
            new KeyboardEvent('keydown', { key, code: 'KeyZ', ctrlKey: true, bubbles: true, cancelable: true }));";
    browser.run(&format!(
        "{undo} const field = document.body.appendChild(document.createElement('textarea')); press(field, 'z'); field.remove();"
    ));
    assert!(browser.text().contains("and its photos are deleted"), "what is written has an undo of its own");
    // On a Cyrillic keyboard it is the key in the same place.
    browser.run(&format!("{undo} press(document.activeElement, 'я');"));
    browser.sees("0 photos");
    browser.sees_no("and its photos are deleted");
    browser.until("the focus is back", back);

    // On a phone the message leaves the way to the other pages free.
    browser.size(360, 740);
    browser.keys(ENTER);
    browser.sees("and its photos are deleted");
    browser.until(
        "the message is above the rail",
        "const edge = (selector, side) => document.querySelector(selector).getBoundingClientRect()[side];
         return edge('.toasts', 'bottom') <= edge('.rail', 'top')",
    );
}
