//! The whole way, by mouse: from an empty studio to a picture that somebody else looks at.

use mudi_tests::browser::Browser;
use serde_json::json;

use super::shelf::{PASSWORD, mask_all, models_and_another, photos, serve_abroad, signed_in};

#[test]
fn from_an_empty_studio_to_a_shared_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    models_and_another(folder.path());
    let server = serve_abroad(folder.path());
    let owner = Browser::open(&server.address);

    owner.go("/");
    owner.sees("Sign in");
    owner.write("#password", "a wrong one");
    owner.press("Sign in");
    owner.sees("the password is wrong");
    owner.write("#password", PASSWORD);
    owner.press("Sign in");
    owner.sees("Nothing here yet");
    owner.sees("Each stays itself.");
    owner.press("New project");
    owner.write("#project-name", "Discs");
    owner.press("Create");
    owner.until("the project opens", "return location.pathname.startsWith('/projects/')");
    let project = owner.path().replace("/projects/", "");

    subjects_and_photos(&owner, &project, folder.path());

    // Masks are drawn in the editor, which has tests of its own.
    let client = signed_in(&server);
    mask_all(&client, &project);

    train(&owner);
    let everybody = json!({ "name": "Everybody twice", "value": four_discs() });
    let saved = client.post(&format!("/api/projects/{project}/layouts"), &everybody);
    assert_eq!(saved["name"], "Everybody twice");
    generate(&owner);
    new_layout(&owner);
    shared(&owner, &server.address);
    assert_eq!(refusals(&owner.complaints()), Vec::<String>::new());
}

/// What the browser refused to run or to load: nothing of that may be in a page.
fn refusals(complaints: &[String]) -> Vec<String> {
    let bad = |text: &&String| text.contains("Content Security Policy") || text.contains("panicked");
    complaints.iter().filter(bad).cloned().collect()
}

fn subjects_and_photos(owner: &Browser, project: &str, folder: &std::path::Path) {
    owner.press("Photos");
    owner.sees("Who is it about?");
    for (subject, (identifier, class)) in
        [("olis", "brown wooden disc"), ("hta", "blue glass disc")].iter().enumerate()
    {
        owner.press("Add a subject");
        if subject == 1 {
            owner.write("#subject-identifier", "olis");
            owner.write("#subject-class", "disc");
            owner.sees("has this identifier already");
        }
        owner.write("#subject-identifier", identifier);
        owner.write("#subject-class", class);
        owner.press("Add subject");
        owner.sees(class);
        let files = photos(folder, subject);
        let files: Vec<&std::path::Path> = files.iter().map(std::path::PathBuf::as_path).collect();
        let key = ["a", "b"][subject];
        owner.choose_files(&format!("[data-subject={key}] input[multiple]"), &files);
        let arrived = format!("return document.querySelectorAll('[data-subject={key}] .photo').length === 2");
        owner.until("both photos arrive", &arrived);
    }
    owner.sees("This server’s networks know plush toys only. In photos of anything else draw the masks");
    // What is no photo is refused in words, and can be put away.
    let wrong = folder.join("notes.png");
    std::fs::write(&wrong, "these are no pixels").expect("a file");
    owner.choose_files("[data-subject=a] input[multiple]", &[&wrong]);
    owner.until("a refusal", "return !!document.querySelector('.upload.bad')");
    owner.press("Dismiss");
    owner.until("no upload", "return !document.querySelector('.upload')");

    // A caption, kept where it stands.
    owner.run("document.querySelector('button.caption').click()");
    owner.write(".photo textarea", "A photo of a olis brown wooden disc on a table.");
    owner.keys(mudi_tests::browser::ENTER);
    owner.sees("on a table.");
    owner.reload();
    owner.sees("on a table.");

    // Deleted, and back again.
    owner.run("document.querySelector('.photo [title=Delete]').click()");
    let visible = |count: usize| {
        format!(
            "return [...document.querySelectorAll('.photo')].filter(e => e.checkVisibility()).length === {count}"
        )
    };
    owner.until("three photos", &visible(3));
    owner.press("Undo");
    owner.until("four photos", &visible(4));
    // Nothing can be laid out yet: that is said, and where to begin.
    owner.press("Layouts");
    owner.press("First: photos with masks");
    owner.until("four photos again", &visible(4));
    owner.go(&format!("/projects/{project}/train"));
    owner.sees("4 photos without a mask");
}

fn train(owner: &Browser) {
    owner.reload();
    // A base that draws more than toys is taken by itself; of one that does not, it is said.
    owner.until("a base", "return document.querySelector('#run-base')?.value === 'worldly'");
    assert!(!owner.text().contains("draws plush toys only"));
    owner.run("const e = document.querySelector('#run-base'); e.value = 'pocket'; e.dispatchEvent(new Event('change'))");
    owner.sees("draws plush toys only");
    owner.press("Quick look");
    owner.press("Every parameter");
    let short =
        [("steps", "30"), ("batch", "1"), ("rank", "4"), ("sample-every", "10"), ("checkpoint-every", "5")];
    owner.write("#recipe-rank", "0");
    owner.sees("a whole number from 1 to 512 is needed");
    for (name, value) in short {
        owner.write(&format!("#recipe-{name}"), value);
    }
    owner.run(
        "const e = document.querySelector('#recipe-regularization'); e.value = 'none'; e.dispatchEvent(new Event('change'))",
    );
    owner.run(
        "const e = document.querySelector('#recipe-aspect'); e.value = '3:2'; e.dispatchEvent(new Event('change'))",
    );
    owner.press("Train 30 steps");
    owner.until("the run's page opens", "return location.pathname.split('/').length === 5");
    owner.until("steps are made", "return /training: [1-9]/.test(document.body.innerText)");
    // In the middle of it the page is loaded again, and finds its place.
    owner.reload();
    owner.until("it goes on", "return /training: \\d+ of 30/.test(document.body.innerText)");
    owner.sees("Generate with it");
    owner.until(
        "a curve",
        "return (document.querySelector('.chart .smooth').getAttribute('d') || '').includes('L')",
    );
    owner.until("three sheets of samples", "return document.querySelectorAll('.sheet').length === 3");
}

/// A layout that shows each of two subjects twice.
fn four_discs() -> serde_json::Value {
    let disc = |subject: &str, x: f64| json!({ "subject": subject, "x": x, "y": 0.4, "width": 0.2 });
    json!({ "version": 1, "subjects": [disc("a", 0.0), disc("b", 0.25), disc("a", 0.5), disc("b", 0.75)] })
}

/// Chooses where pictures start: by the beginning of an option's words.
fn start_from(owner: &Browser, words: &str) {
    owner.run(&format!(
        "const e = document.querySelector('#start');
         e.value = [...e.options].find(o => o.text.startsWith({})).value;
         e.dispatchEvent(new Event('change'))",
        json!(words)
    ));
}

fn generate(owner: &Browser) {
    owner.press("Generate with it");
    owner.until(
        "the form",
        "return document.querySelector('#prompt')?.value.includes('olis brown wooden disc')",
    );
    owner.press("Steps, guidance, sampler");
    owner.write("#steps", "2");
    owner.write("#count", "2");
    // The strength suits the number of subjects in the layout, until somebody moves it.
    owner.sees("(gamma): 2.0");
    start_from(owner, "Layout “Everybody");
    owner.sees("(gamma): 3.0");
    start_from(owner, "A random layout");
    owner.sees("(gamma): 2.0");
    owner.run(
        "const e = document.querySelector('#gamma'); e.value = '1.5'; e.dispatchEvent(new Event('input'))",
    );
    start_from(owner, "Layout “Everybody");
    owner.sees("(gamma): 1.5");
    start_from(owner, "A random layout");
    // What not to draw goes with the model, until somebody writes something: pocket has no words for what the paper keeps away.
    let negative = || owner.run("return document.querySelector('#negative').value");
    let choose = |model: &str| {
        owner.run(&format!(
            "const e = document.querySelector('#model'); e.value = {model}; e.dispatchEvent(new Event('change'))"
        ));
        negative()
    };
    assert_eq!(negative(), "");
    assert_eq!(choose("'base:worldly'"), "sticker, collage.");
    assert_eq!(choose("'base:pocket'"), "");
    owner.write("#negative", "hats");
    assert_eq!(choose("'base:worldly'"), "hats");
    assert_eq!(choose("e.options[0].value"), "hats");
    // Landscapes, which are shown as such.
    owner.run(
        "const e = document.querySelector('#shape'); e.value = '3:2'; e.dispatchEvent(new Event('change'))",
    );
    owner.press("Generate 2 pictures");
    owner.until("two pictures", "return document.querySelectorAll('.picture img').length === 2");
    owner.until(
        "both are landscapes",
        "return [...document.querySelectorAll('.picture img')].every(e => e.naturalWidth > e.naturalHeight
            && Math.abs(e.clientWidth / e.clientHeight - e.naturalWidth / e.naturalHeight) < 0.05)",
    );
    owner.run("document.querySelectorAll('.picture-choose').forEach(e => e.click())");
    owner.press("Compare");
    owner.until("a slider", "return !!document.querySelector('.compare input')");
    owner.press("Close");
    owner.run("document.querySelector('.picture-open').click()");
    owner.sees("Started from this layout");
    owner.sees("112 × 80");
    owner.until("its address", "return location.search.startsWith('?picture=')");
    owner.press("Reuse parameters");
    owner.until("the page's address", "return location.search === ''");
    owner.until("its seed is kept", "return document.querySelector('[aria-label=\"Keep the seed\"]').getAttribute('aria-pressed') === 'true'");
    owner.until(
        "a newer run does not take the place of the picture's",
        "return Object.entries(sessionStorage).some(([key, kept]) => key.startsWith('mudi-generate-') && kept.includes('\"model\":false'))",
    );
    // The layout brings its shape.
    owner.until("its shape", "return document.querySelector('#shape').value === ''");
}

/// A new layout has the shape of the pictures that the newest run draws.
fn new_layout(owner: &Browser) {
    owner.press("Layouts");
    owner.press("New layout");
    owner.until("its shape", "return document.querySelector('.layout-tools select')?.value === '3:2'");
}

/// A link, opened by somebody else on a phone, revoked while it is open.
fn shared(owner: &Browser, address: &str) {
    owner.press("Share");
    // The program of its own has the styles that it needs.
    owner.until(
        "two columns",
        "const columns = document.querySelector('.two-columns');
         return !!columns && getComputedStyle(columns).display === 'grid'",
    );
    owner.press("Make the link");
    owner.sees("The link is made");
    let link = owner.run("return document.querySelector('.made input').value");
    let link = link.as_str().expect("an address");
    let guest = Browser::open(address);
    guest.size(360, 740);
    guest.go("/");
    guest.sees("Sign in");
    guest.go(link);
    guest.sees("You have a link to look at this project.");
    assert_eq!(guest.run("return location.hash"), "", "the secret does not stay in the address");
    guest.until(
        "a picture",
        "return [...document.querySelectorAll('.pictures img')].some(e => e.complete && e.naturalWidth > 0)",
    );
    assert_eq!(
        guest.run("const page = document.documentElement; return page.scrollWidth <= page.clientWidth"),
        true,
        "it fits a phone"
    );
    guest.press("Photos");
    guest.sees("brown wooden disc");
    assert_eq!(
        guest.run("return document.querySelectorAll('main button, main input').length"),
        0,
        "nothing to change"
    );
    assert!(!guest.text().contains("Share"));

    owner.press("Revoke");
    owner.press("Revoke for good");
    owner.sees("only you see this project");
    guest.sees("Sign in");
    guest.go(link);
    guest.sees("the link is wrong, was revoked or has expired");
}
