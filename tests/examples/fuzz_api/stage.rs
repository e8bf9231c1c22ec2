//! The server that is fuzzed, and what is in it.

use std::fs;
use std::path::{Path, PathBuf};

use mudi_tests::fixtures;
use mudi_tests::served::{Client, Server, text};
use mudi_tests::workshop::shipped;
use serde_json::{Value, json};

const PASSWORD: &str = "a password for fuzzing";
/// An address that no request of the fuzzer has.
const ADDRESS: &str = "255.0.0.1";

/// A data folder with two projects, with something in every table.
pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
    /// Where schemathesis and the Python that it runs by are.
    pub(crate) programs: PathBuf,
    /// The project that most requests are about.
    pub(crate) project: String,
    /// The project that must stay as it is.
    pub(crate) untouched: String,
}

impl Stage {
    /// Makes both projects, and the files that are uploaded, in `folder`.
    pub(crate) fn set(folder: &Path, programs: PathBuf) -> Self {
        let models = folder.join("models");
        fs::create_dir(&models).expect("a folder");
        // A base of which a step takes no time, and the networks that ship.
        link(&fixtures::path("sdxl-tiny"), &models.join("sdxl-tiny"));
        for name in ["pocket", "owlv2-toybox", "sam-toybox", "dinov2-toybox"] {
            link(Path::new(&shipped(name)), &models.join(name));
        }
        fs::write(folder.join("password"), PASSWORD).expect("a file");
        let mut stage =
            Self { folder: folder.to_owned(), programs, project: String::new(), untouched: String::new() };
        let server = stage.start(&[]);
        let client = server.client();
        stage.project = fill(&client);
        stage.untouched = fill(&client);
        stage.keep_files(&client);
        server.stop();
        stage
    }

    /// The server on the stage's data folder.
    pub(crate) fn start(&self, further: &[&str]) -> Server {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let (models, password) = (path("models"), path("password"));
        let flags = ["--models", &models, "--password-file", &password, "--log", "warn"];
        Server::start(&self.folder.join("data"), &[&flags[..], further].concat())
    }

    /// The folder of the files that are uploaded.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// Writes the files that are uploaded, whole: what the project has.
    fn keep_files(&self, client: &Client) {
        let path = format!("/api/projects/{}", self.project);
        for kind in ["photos", "masks", "archives"] {
            fs::create_dir_all(self.files().join(kind)).expect("a folder");
        }
        let keep = |name: &str, asked: &str| {
            let bytes = client.get(&format!("{path}/{asked}")).well().bytes;
            fs::write(self.files().join(name), bytes).expect("a file");
        };
        keep("archives/dataset.zip", "dataset");
        keep("archives/project.zip", "archive");
        for photo in items(client, &format!("{path}/photos")).iter().take(4) {
            let id = text(&photo["id"]);
            keep(&format!("photos/{id}.png"), &format!("photos/{id}/image"));
            keep(&format!("masks/{id}.png"), &format!("photos/{id}/mask"));
        }
    }

    /// The session's cookie of the owner, to whom the server at a proxy's back is open by the password alone.
    pub(crate) fn owner(&self, server: &Server) -> String {
        sign_in(server, &json!({ "password": PASSWORD }))
    }

    /// The session's cookie of somebody who has a link with this access, made by `owner`.
    pub(crate) fn guest(&self, server: &Server, owner: &Client, access: &str) -> String {
        let new = json!({ "access": access, "label": "A part" });
        let link = owner.post(&format!("/api/projects/{}/links", self.project), &new);
        sign_in(server, &json!({ "link": link["secret"] }))
    }
}

/// A client whose address the proxy names, and who has the session's cookie.
pub(crate) fn behind_the_proxy(server: &Server, cookie: &str) -> Client {
    server.client().with("x-forwarded-for", ADDRESS).with("cookie", cookie)
}

fn sign_in(server: &Server, secret: &Value) -> String {
    let answer = behind_the_proxy(server, "").json("POST", "/api/session", secret).well();
    answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
}

/// Makes the sample project, and in it a run with its samples, images with scores, a recipe, a layout and links.
fn fill(client: &Client) -> String {
    let project = text(&client.post("/api/samples", &Value::Null)["id"]);
    let path = format!("/api/projects/{project}");
    let done = |job: &Value| client.done(&format!("{path}/jobs/{}", text(job)));
    let prompt = "A photo of olis brown bear and hta teal bear.";
    let recipe = json!({
        "steps": 4, "rank": 4, "batch": 1, "regularization": "none", "segmix-probability": 0.6, "checkpoint-every": 2,
        "sample-every": 2, "sample-prompts": [prompt],
    });
    let run = client
        .post(&format!("{path}/runs"), &json!({ "name": "Run 1", "base": "sdxl-tiny", "recipe": recipe }));
    done(&run["job"]);
    let images = json!({ "run": run["id"], "prompt": prompt, "steps": 2, "count": 4, "layout": "random" });
    done(&client.post(&format!("{path}/images"), &images)["id"]);
    let ids: Vec<Value> =
        items(client, &format!("{path}/images")).iter().map(|image| image["id"].clone()).collect();
    done(&client.post(&format!("{path}/evaluations"), &json!({ "images": ids }))["id"]);
    let layout = json!({ "version": 1, "subjects": [{ "subject": "a", "x": 0.1, "y": 0.2, "width": 0.3 }] });
    for number in 0..4 {
        let named = |value: &Value| json!({ "name": format!("Number {number}"), "value": value });
        let _ = client.post(&format!("{path}/layouts"), &named(&layout));
        let _ = client.post(&format!("{path}/recipes"), &named(&json!({ "steps": 10 })));
        let link = json!({ "access": "viewer", "label": format!("Number {number}") });
        let _ = client.post(&format!("{path}/links"), &link);
    }
    project
}

/// The items of a list, of which there is one page.
pub(crate) fn items(client: &Client, path: &str) -> Vec<Value> {
    let most = if ["/subjects", "/links"].iter().any(|end| path.ends_with(end)) { "" } else { "?limit=500" };
    client.get(&format!("{path}{most}")).value()["items"].as_array().cloned().unwrap_or_default()
}

fn link(from: &Path, to: &Path) {
    let from = from.canonicalize().expect("a folder of models");
    #[cfg(unix)]
    std::os::unix::fs::symlink(from, to).expect("a link");
    #[cfg(not(unix))]
    mudi_tests::workshop::copy_folder(&from, to);
}
