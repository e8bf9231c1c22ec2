//! What the tests begin with: a server on the pocket model, photos on the disk, a project with everything in it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use mudi_tests::browser::Browser;
use mudi_tests::pictures::encoded;
pub(crate) use mudi_tests::served::text;
use mudi_tests::served::{Client, Server};
use mudi_tests::workshop::{self, copy_folder, models};
use serde_json::{Value, json};

/// The owner's password.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A server on the models that ship, or on those that [`models_and_another`] has laid out.
pub(crate) fn serve(folder: &Path, further: &[&str]) -> Server {
    let own = folder.join("models");
    let models = if own.exists() { own.display().to_string() } else { models() };
    let flags = [&["--models", &models], further].concat();
    let server = Server::start(&folder.join("data"), &flags);
    let page = server.client().get("/").well();
    let text = String::from_utf8_lossy(&page.bytes).into_owned();
    assert!(text.contains("wasm"), "the program was built without its page; run `cargo xtask page` first");
    server
}

/// The models that ship, and `worldly`, which is no more than a vocabulary with a word of the paper's negative prompt.
pub(crate) fn models_and_another(folder: &Path) {
    let models = folder.join("models");
    copy_folder(Path::new(&workshop::models()), &models);
    let vocabulary = models.join("worldly").join("tokenizer");
    std::fs::create_dir_all(&vocabulary).expect("a folder");
    std::fs::write(vocabulary.join("vocab.json"), r#"{ "sticker</w>": 0 }"#).expect("a file");
    std::fs::write(models.join("worldly").join("model_index.json"), "{}").expect("a file");
}

/// A server that takes nobody for the owner who has not signed in, with its password.
pub(crate) fn serve_abroad(folder: &Path) -> Server {
    let file = folder.join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file");
    serve(folder, &["--proxy", "true", "--password-file", &file.display().to_string()])
}

/// The owner, signed in at such a server.
pub(crate) fn signed_in(server: &Server) -> Client {
    let answer = server.client().json("POST", "/api/session", &json!({ "password": PASSWORD })).well();
    let cookie = answer.header("set-cookie").split(';').next().expect("a cookie");
    server.client().with("cookie", cookie)
}

fn disc(x: u32, y: u32, number: u32) -> bool {
    let (x, y) = (x as i32 - 60 - 4 * number as i32, y as i32 - 64);
    x * x + y * y < 1600
}

/// Photos of a subject on the disk: a disc of its color, each elsewhere.
pub(crate) fn photos(folder: &Path, subject: usize) -> Vec<PathBuf> {
    let color = [[150, 90, 40], [40, 80, 200]][subject];
    let photo = |number: u32| {
        let image = RgbImage::from_fn(128, 128, |x, y| {
            if disc(x, y, number) { Rgb(color) } else { Rgb([x as u8, y as u8, (40 * number) as u8]) }
        });
        let path = folder.join(format!("{subject}-{number}.png"));
        image.save(&path).expect("a photo");
        path
    };
    (0..2).map(photo).collect()
}

/// Draws the first mask of each photo of a project.
pub(crate) fn mask_all(client: &Client, project: &str) {
    let list = client.get(&format!("/api/projects/{project}/photos")).value();
    for (number, photo) in list["items"].as_array().expect("photos").iter().enumerate() {
        let white = |x, y| Luma([if disc(x, y, number as u32 % 2) { 255 } else { 0 }]);
        let bytes = encoded(GrayImage::from_fn(128, 128, white), ImageFormat::Png);
        let path = format!("/api/projects/{project}/photos/{}/mask", photo["id"].as_str().expect("an id"));
        client.with("if-none-match", "*").send("PUT", &path, Some(&bytes)).well();
    }
}

/// The sample project, trained for a moment, with pictures, a layout and a link; its id. It is made once for all tests, each of which
/// takes it in as a file.
pub(crate) fn full_project(client: &Client) -> String {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    let whole = WHOLE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let server = serve(folder.path(), &[]);
        let client = server.client();
        let project = made(&client);
        client.get(&format!("/api/projects/{project}/archive")).well().bytes
    });
    let project = text(&client.send("POST", "/api/projects/import", Some(whole)).value()["id"]);
    let link = json!({ "access": "viewer", "label": "For Ann" });
    let _ = client.post(&format!("/api/projects/{project}/links"), &link);
    project
}

/// Makes the sample project with all that a file of it holds; its id.
fn made(client: &Client) -> String {
    let project = text(&client.post("/api/samples", &Value::Null)["id"]);
    let path = format!("/api/projects/{project}");
    let prompt = "A photo of olis brown bear and hta teal bear.";
    let recipe = json!({
        "steps": 4, "batch": 1, "rank": 4, "regularization": "none", "sample-every": 2, "sample-prompts": [prompt],
        "checkpoint-every": 2,
    });
    let run =
        client.post(&format!("{path}/runs"), &json!({ "name": "First", "base": "pocket", "recipe": recipe }));
    client.done(&format!("{path}/jobs/{}", text(&run["job"])));
    let images = json!({ "run": run["id"], "prompt": prompt, "steps": 2, "count": 2, "layout": "random" });
    let job = client.post(&format!("{path}/images"), &images);
    client.done(&format!("{path}/jobs/{}", text(&job["id"])));
    let layout = json!({ "version": 1, "subjects": [{ "subject": "a", "x": 0.1, "y": 0.2, "width": 0.3 }] });
    let _ = client.post(&format!("{path}/layouts"), &json!({ "name": "Left", "value": layout }));
    project
}

/// Types another name for the layout that is open, and does not leave the field.
pub(crate) fn rename_layout(browser: &Browser, name: &str) {
    browser.run(&format!(
        "const e = document.querySelector('.layout-name input'); e.value = {}; e.dispatchEvent(new Event('input', {{ bubbles: true }}))",
        json!(name)
    ));
}
