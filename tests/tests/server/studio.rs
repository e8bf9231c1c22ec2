//! A project to test with: two subjects with photos and masks, and runs that take a second.

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
pub(crate) use mudi_tests::pictures::encoded;
use mudi_tests::served::Client;
pub(crate) use mudi_tests::served::text;
use serde_json::{Value, json};

/// The subjects: id and name.
pub(crate) const SUBJECTS: [(&str, &str); 2] = [("a", "olis brown bear"), ("b", "hta blue robot")];
/// Photos of each.
pub(crate) const PHOTOS: u32 = 2;
/// Sides of photos and masks.
const SIZE: u32 = 64;

fn disc(x: u32, y: u32, number: u32) -> bool {
    let (x, y) = (x as i32 - 30 - number as i32, y as i32 - 30);
    x * x + y * y < 400
}

/// A photo: a disc of the subject's color.
pub(crate) fn photo(subject: usize, number: u32) -> Vec<u8> {
    let color = [[150, 90, 40], [40, 80, 200]][subject];
    let image = RgbImage::from_fn(SIZE, SIZE, |x, y| {
        if disc(x, y, number) { Rgb(color) } else { Rgb([3 * x as u8, 3 * y as u8, (40 * number) as u8]) }
    });
    encoded(image, ImageFormat::Png)
}

/// The mask of [`photo`].
pub(crate) fn mask(number: u32) -> Vec<u8> {
    let white = |x, y| Luma([if disc(x, y, number) { 255 } else { 0 }]);
    encoded(GrayImage::from_fn(SIZE, SIZE, white), ImageFormat::Png)
}

/// A project, and who works on it.
pub(crate) struct Studio {
    pub(crate) client: Client,
    /// The project's id.
    pub(crate) id: String,
}

impl Studio {
    /// A new one, empty.
    pub(crate) fn new(client: Client) -> Self {
        let project = client.post("/api/projects", &json!({ "name": "Toys" }));
        Self { client, id: text(&project["id"]) }
    }

    /// A new one with all photos and masks.
    pub(crate) fn full(client: Client) -> Self {
        let studio = Self::new(client);
        for (index, (id, name)) in SUBJECTS.iter().enumerate() {
            studio.post("subjects", &json!({ "id": id, "name": name }));
            for number in 0..PHOTOS {
                let photo = studio.upload(id, &format!("{number}.png"), &photo(index, number));
                studio.draw(&text(&photo["id"]), &mask(number));
            }
        }
        studio
    }

    /// A path below the project's.
    pub(crate) fn path(&self, below: &str) -> String {
        format!("/api/projects/{}/{below}", self.id)
    }

    pub(crate) fn get(&self, below: &str) -> Value {
        self.client.get(&self.path(below)).value()
    }

    pub(crate) fn bytes(&self, below: &str) -> Vec<u8> {
        self.client.get(&self.path(below)).well().bytes
    }

    pub(crate) fn post(&self, below: &str, body: &Value) -> Value {
        self.client.post(&self.path(below), body)
    }

    pub(crate) fn upload(&self, subject: &str, name: &str, bytes: &[u8]) -> Value {
        let path = self.path(&format!("subjects/{subject}/photos?name={name}"));
        self.client.send("POST", &path, Some(bytes)).value()
    }

    /// Draws a first mask.
    pub(crate) fn draw(&self, photo: &str, bytes: &[u8]) {
        let path = self.path(&format!("photos/{photo}/mask"));
        self.client.with("if-none-match", "*").send("PUT", &path, Some(bytes)).well();
    }

    /// Starts a run of so many steps, and returns it.
    pub(crate) fn train(&self, steps: u32, further: &Value) -> Value {
        let mut recipe = json!({
            "steps": steps, "rank": 4, "batch": 1, "regularization": "none", "segmix-probability": 0.6,
            "checkpoint-every": 2,
        });
        for (name, value) in further.as_object().expect("an object") {
            recipe[name] = value.clone();
        }
        self.post("runs", &json!({ "name": "First", "base": "sdxl-tiny", "recipe": recipe }))
    }

    /// Asks for images with a run, and returns the job.
    pub(crate) fn generate(&self, run: &str, count: u32) -> Value {
        self.post(
            "images",
            &json!({
                "run": run, "prompt": "olis brown bear and hta blue robot", "steps": 3, "count": count,
                "layout": "random", "seed": 7,
            }),
        )
    }

    /// Waits for a job.
    pub(crate) fn done(&self, job: &Value) -> Value {
        self.client.done(&self.path(&format!("jobs/{}", text(job))))
    }

    /// The items of a list, of which there is one page.
    pub(crate) fn list(&self, below: &str) -> Vec<Value> {
        let page = self.get(below);
        assert!(page.get("next").is_none(), "{below} has more pages");
        page["items"].as_array().expect("items").clone()
    }
}
