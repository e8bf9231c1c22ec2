//! Who may do what: every route as everybody, links, sessions, and pages of other sites.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mudi_tests::served::{Client, Server};
use serde_json::{Value, json};

use super::apart;
use super::studio::{Studio, text};

const PASSWORD: &str = "correct horse battery";

/// Every route and the least access that it takes. What stands in braces is an id of the test's project; `none` is an id
/// that nothing has, so that whoever may delete deletes nothing.
const TABLE: &str = "
    nobody  GET     /healthz
    owner   GET     /metrics
    nobody  GET     /api/openapi.json
    viewer  GET     /api/bases
    nobody  GET     /api/session
    nobody  POST    /api/session
    owner   PUT     /api/session/password
    nobody  DELETE  /api/session
    viewer  GET     /api/projects
    owner   POST    /api/projects
    owner   POST    /api/projects/import
    viewer  GET     /api/projects/{project}
    editor  PATCH   /api/projects/{project}
    owner   DELETE  /api/projects/{project}
    owner   GET     /api/projects/{project}/archive
    owner   POST    /api/projects/{project}/copies
    owner   POST    /api/samples
    owner   GET     /api/projects/{project}/links
    owner   POST    /api/projects/{project}/links
    owner   DELETE  /api/projects/{project}/links/{link}
    viewer  GET     /api/projects/{project}/subjects
    editor  POST    /api/projects/{project}/subjects
    editor  PATCH   /api/projects/{project}/subjects/{subject}
    editor  DELETE  /api/projects/{project}/subjects/{subject}
    editor  POST    /api/projects/{project}/subjects/{subject}/photos
    viewer  GET     /api/projects/{project}/photos
    viewer  GET     /api/projects/{project}/photos/{photo}
    editor  PATCH   /api/projects/{project}/photos/{photo}
    editor  DELETE  /api/projects/{project}/photos/{photo}
    viewer  GET     /api/projects/{project}/photos/{photo}/image
    viewer  GET     /api/projects/{project}/photos/{photo}/thumbnail
    viewer  GET     /api/projects/{project}/photos/{photo}/mask
    viewer  GET     /api/projects/{project}/photos/{photo}/mask/thumbnail
    editor  PUT     /api/projects/{project}/photos/{photo}/mask
    editor  DELETE  /api/projects/{project}/photos/{photo}/mask
    editor  POST    /api/projects/{project}/photos/{photo}/segment
    editor  POST    /api/projects/{project}/masks
    editor  GET     /api/projects/{project}/dataset
    editor  POST    /api/projects/{project}/dataset
    viewer  GET     /api/projects/{project}/recipes
    editor  POST    /api/projects/{project}/recipes
    viewer  GET     /api/projects/{project}/recipes/{recipe}
    editor  PUT     /api/projects/{project}/recipes/{recipe}
    editor  DELETE  /api/projects/{project}/recipes/{recipe}
    viewer  GET     /api/projects/{project}/layouts
    editor  POST    /api/projects/{project}/layouts
    viewer  GET     /api/projects/{project}/layouts/{layout}
    editor  PUT     /api/projects/{project}/layouts/{layout}
    editor  DELETE  /api/projects/{project}/layouts/{layout}
    viewer  GET     /api/projects/{project}/runs
    editor  POST    /api/projects/{project}/runs
    viewer  GET     /api/projects/{project}/runs/{run}
    editor  DELETE  /api/projects/{project}/runs/{run}
    viewer  GET     /api/projects/{project}/runs/{run}/metrics
    viewer  GET     /api/projects/{project}/runs/{run}/samples
    viewer  GET     /api/projects/{project}/runs/{run}/samples/{step}
    viewer  GET     /api/projects/{project}/runs/{run}/seen
    viewer  GET     /api/projects/{project}/runs/{run}/seen/{step}
    player  GET     /api/projects/{project}/runs/{run}/weights
    editor  POST    /api/projects/{project}/forecast
    editor  GET     /api/projects/{project}/segmenter
    editor  GET     /api/projects/{project}/segmenter/files/{sha256}
    editor  GET     /api/projects/{project}/photos/{photo}/embedding
    player  GET     /api/projects/{project}/preview
    player  GET     /api/projects/{project}/preview/files/{sha256}
    viewer  GET     /api/projects/{project}/images
    editor  POST    /api/projects/{project}/images
    editor  POST    /api/projects/{project}/evaluations
    viewer  GET     /api/projects/{project}/images/{image}
    editor  DELETE  /api/projects/{project}/images/{image}
    viewer  GET     /api/projects/{project}/images/{image}/picture
    viewer  GET     /api/projects/{project}/images/{image}/thumbnail
    viewer  GET     /api/projects/{project}/images/{image}/canvas
    viewer  GET     /api/projects/{project}/jobs
    viewer  GET     /api/projects/{project}/jobs/{job}
    viewer  GET     /api/projects/{project}/jobs/{job}/latents
    viewer  GET     /api/projects/{project}/jobs/{job}/events
    editor  POST    /api/projects/{project}/jobs/{job}/pause
    editor  POST    /api/projects/{project}/jobs/{job}/resume
    editor  POST    /api/projects/{project}/jobs/{job}/cancel
";

pub(crate) fn table() -> Vec<[&'static str; 3]> {
    let row = |line: &'static str| {
        let mut words = line.split_whitespace();
        Some([words.next()?, words.next()?, words.next()?])
    };
    TABLE.lines().filter_map(row).collect()
}

/// Milliseconds since 1970, so much from now.
fn after(time: Duration) -> u64 {
    (SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + time).as_millis() as u64
}

/// Signs in from elsewhere; the client then sends the session's cookie.
fn signed_in(client: &Client, with: &Value) -> Client {
    let answer = client.json("POST", "/api/session", with).well();
    let cookie = answer.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    client.with("cookie", cookie.split(';').next().expect("a pair"))
}

/// What was made in the project, by the names in the table's paths.
pub(crate) struct Ids(Vec<(&'static str, String)>);

impl Ids {
    fn of(studio: &Studio) -> Self {
        let run = studio.train(2, &json!({ "sample-every": 2, "sample-prompts": ["olis"] }));
        studio.done(&run["job"]);
        let job = text(&studio.generate(&text(&run["id"]), 1)["id"]);
        studio.done(&json!(job));
        let layout =
            json!({ "version": 1, "subjects": [{ "subject": "a", "x": 0.1, "y": 0.2, "width": 0.3 }] });
        let made = |list: &str, value: Value| {
            text(&studio.post(list, &json!({ "name": "x", "value": value }))["id"])
        };
        Self(vec![
            ("project", studio.id.clone()),
            ("sha256", text(&studio.client.get(&studio.path("preview")).value()["files"][0]["sha256"])),
            ("decoder", text(&studio.client.get(&studio.path("segmenter")).value()["files"][0]["sha256"])),
            ("subject", "a".to_owned()),
            ("photo", text(&studio.list("photos")[0]["id"])),
            ("run", text(&run["id"])),
            ("step", "2".to_owned()),
            ("job", job),
            ("image", text(&studio.list("images")[0]["id"])),
            ("recipe", made("recipes", json!({}))),
            ("layout", made("layouts", layout)),
            ("link", uuid::Uuid::nil().to_string()),
        ])
    }

    /// The path with ids. What would be deleted is something that is not there.
    fn path(&self, method: &str, path: &str) -> String {
        let last = path.rsplit('/').next().unwrap_or_default();
        // Files of both have their digest for a name.
        let mut filled = path.replace("segmenter/files/{sha256}", "segmenter/files/{decoder}");
        if method == "DELETE" && path != "/api/projects/{project}" {
            filled = filled.replace(
                last,
                if last.starts_with('{') { "01890000-0000-7000-8000-000000000000" } else { last },
            );
        }
        self.fill(&filled)
    }

    /// The path with ids.
    pub(crate) fn fill(&self, path: &str) -> String {
        let filled = |path: String, (name, id): &(&str, String)| path.replace(&format!("{{{name}}}"), id);
        self.0.iter().fold(path.to_owned(), filled)
    }
}

#[test]
fn every_route_as_everybody() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(
        &folder.path().join("data"),
        &["--rate", "100000", "--log", "debug", "--preview", "sdxl-tiny", "--segmenter", "sam-tiny"],
    );
    let owner_here = server.client();
    let studio = Studio::full(owner_here.clone());
    let ids = Ids::of(&studio);
    owner_here.json("PUT", "/api/session/password", &json!({ "password": PASSWORD })).well();

    let listed: BTreeSet<_> =
        table().into_iter().map(|[_, method, path]| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(listed, documented(&owner_here), "the table has every route, and no other");

    // A proxy has left its mark: nobody is local.
    let elsewhere = owner_here.with("x-forwarded-for", "203.0.113.9");
    let link = |project: &Studio, access: &str, expires: Option<u64>| {
        let mut new = json!({ "access": access });
        if let Some(expires) = expires {
            new["expires"] = json!(expires);
        }
        project.post("links", &new)
    };
    let other = Studio::new(owner_here.clone());
    let mut secrets = Vec::new();
    let mut holder = |made: &Value| {
        secrets.push(text(&made["secret"]));
        signed_in(&elsewhere, &json!({ "link": made["secret"] }))
    };
    let revoked = link(&studio, "editor", None);
    let expired = link(&studio, "editor", Some(after(Duration::from_secs(3))));
    let callers = [
        ("nobody", "nobody", elsewhere.clone()),
        ("revoked editor", "nobody", holder(&revoked)),
        ("expired editor", "nobody", holder(&expired)),
        ("editor of another project", "stranger", holder(&link(&other, "editor", None))),
        ("viewer", "viewer", holder(&link(&studio, "viewer", None))),
        ("player", "player", holder(&link(&studio, "player", None))),
        ("editor", "editor", holder(&link(&studio, "editor", None))),
        ("owner", "owner", signed_in(&elsewhere, &json!({ "password": PASSWORD }))),
    ];
    owner_here.delete(&studio.path(&format!("links/{}", text(&revoked["link"]["id"]))));
    apart::until_signed_out(&callers[2].2);
    for made in [&revoked, &expired] {
        elsewhere
            .json("POST", "/api/session", &json!({ "link": made["secret"] }))
            .problem(401, "wrong_secret");
    }

    for (name, level, client) in &callers {
        for [needed, method, path] in table() {
            try_route(&ids, client, (name, level), [needed, method, path]);
        }
    }
    assert_eq!(studio.list("photos").len(), 4, "nobody has deleted anything");
    apart::lists_are_of_the_callers_own(&callers, &studio, &other);
    apart::nothing_is_found_by_way_of_another(&ids, &studio, &other);
    let log = server.log();
    assert!(
        secrets.iter().all(|secret| !log.contains(secret)) && !log.contains(PASSWORD),
        "no secret is logged"
    );
}

/// The routes of the program's own description.
fn documented(client: &Client) -> BTreeSet<(String, String)> {
    let document = client.get("/api/openapi.json").value();
    let paths = document["paths"].as_object().expect("paths");
    let operations = |(path, item): (&String, &Value)| {
        let methods: Vec<_> =
            item.as_object().expect("operations").keys().map(|method| method.to_uppercase()).collect();
        methods.into_iter().map(move |method| (method, path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(|(path, item)| operations((path, item))).collect()
}

fn try_route(ids: &Ids, client: &Client, (name, level): (&str, &str), [needed, method, path]: [&str; 3]) {
    const LEVELS: [&str; 5] = ["nobody", "viewer", "player", "editor", "owner"];
    // These would end the session, or the project that the others look at; they have tests of their own.
    let fatal = method == "DELETE" && ["/api/session", "/api/projects/{project}"].contains(&path);
    let rank = |word: &str| LEVELS.iter().position(|level| *level == word);
    let of_project = path.contains("{project}");
    // A stranger holds something elsewhere, as much as an editor, and nothing here.
    let held = match (level, of_project) {
        ("stranger", true) => Some(0),
        ("stranger", false) => rank("editor"),
        _ => rank(level),
    };
    let allowed = held >= rank(needed);
    if allowed && fatal {
        return;
    }
    // What is no JSON gets past the gate, and no further.
    let body: Option<&[u8]> = matches!(method, "POST" | "PUT" | "PATCH").then_some(b"{");
    // A body that nobody reads may end the connection: each request has its own.
    let answer = client.with("connection", "close").with("content-type", "application/json").send(
        method,
        &ids.path(method, path),
        body,
    );
    let shown = format!("{name}: {method} {path}: {}", answer.shown());
    assert!(answer.status < 500, "{shown}");
    let expected: &[u16] = match (allowed, level) {
        // The job is over, and its latents with it.
        (true, _) if path.ends_with("/latents") => &[404],
        (true, _) if method == "GET" => &[200],
        (true, _) => &[200, 201, 400, 404, 409, 415, 422, 428],
        (false, "nobody") => &[401],
        // Whether the project exists is none of a stranger's business.
        (false, "stranger") if of_project => &[404],
        (false, _) => &[403],
    };
    assert!(expected.contains(&answer.status), "{shown}; expected one of {expected:?}");
}

#[test]
fn sessions_and_links_end_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(
        &folder.path().join("data"),
        &["--proxy", "true", "--public-url", "https://mudi.example.org"],
    );
    let client = server.client().with("x-forwarded-for", "203.0.113.9");
    client.get("/api/projects").problem(401, "sign_in");
    client.json("POST", "/api/session", &json!({ "password": PASSWORD })).problem(401, "wrong_secret");
    drop(server);

    let file = folder.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file");
    let flags = [
        "--proxy",
        "true",
        "--public-url",
        "https://mudi.example.org",
        "--password-file",
        &file.display().to_string(),
    ];
    let server = Server::start(&folder.path().join("data"), &flags);
    let client = Client::new(&server.address).with("x-forwarded-for", "203.0.113.9");
    let answer = client.json("POST", "/api/session", &json!({ "password": PASSWORD })).well();
    assert!(answer.header("set-cookie").contains("; Secure"), "TLS is in front");
    let owner = signed_in(&client, &json!({ "password": PASSWORD }));
    let studio = Studio::full(owner.clone());

    // A listener is cut off when the link is revoked.
    let made = studio.post("links", &json!({ "access": "viewer", "label": "for Ann" }));
    // Whoever tries an own link stays the owner.
    let tried = owner.json("POST", "/api/session", &json!({ "link": made["secret"] })).well();
    assert_eq!(tried.header("set-cookie"), "");
    assert_eq!(owner.get("/api/session").value()["access"], "owner");
    owner.json("POST", "/api/session", &json!({ "link": "guess" })).problem(401, "wrong_secret");
    let viewer = signed_in(&client, &json!({ "link": made["secret"] }));
    assert_eq!(viewer.get("/api/projects").value()["items"][0]["access"], "viewer");
    // So may a whole class behind one address.
    (0..20).for_each(|_| drop(signed_in(&client, &json!({ "link": made["secret"] }))));
    let run = studio.train(100_000, &json!({ "checkpoint-every": 1000 }));
    let path = studio.path(&format!("jobs/{}", text(&run["job"])));
    let mut events = viewer.events(&format!("{path}/events"));
    assert!(events.next().is_some());
    owner.delete(&studio.path(&format!("links/{}", text(&made["link"]["id"]))));
    assert!(events.count() < 100_000, "the stream ends");
    viewer.get(&path).problem(401, "sign_in");
    owner.send("POST", &format!("{path}/cancel"), None).well();
    owner.until(&path, |job| job["state"] == "cancelled");

    // Signing out, and a new password, end sessions.
    let second = signed_in(&client, &json!({ "password": PASSWORD }));
    second.send("DELETE", "/api/session", None).well();
    second.get("/api/projects").problem(401, "sign_in");
    owner.json("PUT", "/api/session/password", &json!({ "password": "short" })).problem(422, "refused");
    owner.json("PUT", "/api/session/password", &json!({ "password": "another one" })).well();
    owner.get("/api/projects").problem(401, "sign_in");

    // What the page tells of signing in.
    let told = client.get("/api/session").value();
    assert_eq!((&told["owner_on_machine"], &told["password_set"]), (&json!(false), &json!(true)), "{told}");
    assert_eq!(told["public_url"], "https://mudi.example.org");

    apart::who_guesses_is_stopped(&client);
    drop(server);

    // A password that was changed on the page stays changed, until the file has another.
    let started = || {
        let server = Server::start(&folder.path().join("data"), &flags);
        let client = Client::new(&server.address).with("x-forwarded-for", "203.0.113.9");
        (server, client)
    };
    let (server, client) = started();
    client.json("POST", "/api/session", &json!({ "password": PASSWORD })).problem(401, "wrong_secret");
    let answer = client.json("POST", "/api/session", &json!({ "password": "another one" })).well();
    let cookie = answer.header("set-cookie").split(';').next().expect("a pair").to_owned();
    drop(server);
    let (server, client) = started();
    let session = client.with("cookie", &cookie).get("/api/session").value();
    assert_eq!(session["access"], "owner", "a start ends no session");
    drop(server);
    std::fs::write(&file, "the third one\n").expect("a file");
    let (_server, client) = started();
    client.with("cookie", &cookie).get("/api/projects").problem(401, "sign_in");
    client.json("POST", "/api/session", &json!({ "password": "another one" })).problem(401, "wrong_secret");
    signed_in(&client, &json!({ "password": "the third one" }));
}

#[test]
fn pages_of_other_sites_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let client = server.client();
    let new = json!({ "name": "From elsewhere" });
    for (name, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        client.with(name, value).json("POST", "/api/projects", &new).problem(403, "cross_site");
    }
    // A name that points here (DNS rebinding) is not this machine.
    client.with("host", "evil.example").json("POST", "/api/projects", &new).problem(401, "sign_in");
    client.with("origin", format!("http://{}", server.address)).json("POST", "/api/projects", &new).well();
    // Forms of other sites cannot send JSON.
    let form =
        client.with("content-type", "text/plain").send("POST", "/api/projects", Some(b"{\"name\":\"x\"}"));
    form.problem(415, "media_type");
    let answer = client.get("/api/projects").well();
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe-inline"), "{policy}");
}
