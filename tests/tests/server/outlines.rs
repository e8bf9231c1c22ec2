//! What a list says of masks, so that nobody has to read them: where they are, and how they look small.

use image::{GrayImage, ImageFormat, Luma, RgbImage};
use mudi_tests::served::Server;
use serde_json::json;

use super::input::files;
use super::studio::{Studio, encoded, text};

#[test]
fn a_photo_says_where_its_mask_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let studio = Studio::new(server.client());
    let client = &studio.client;
    studio.post("subjects", &json!({ "id": "a", "name": "olis brown bear" }));
    let id =
        studio.upload("a", "wide.png", &encoded(RgbImage::new(800, 400), ImageFormat::Png))["id"].clone();
    let id = text(&id);
    let (mask, small) =
        (studio.path(&format!("photos/{id}/mask")), studio.path(&format!("photos/{id}/mask/thumbnail")));
    let photo = || studio.get(&format!("photos/{id}"));
    assert!(photo().get("bounds").is_none());
    client.get(&small).problem(404, "missing");
    let without = files(&data);

    let within = |x, y| (100..300).contains(&x) && (40..140).contains(&y);
    let drawn = GrayImage::from_fn(800, 400, |x, y| Luma([if within(x, y) { 255 } else { 0 }]));
    studio.draw(&id, &encoded(drawn, ImageFormat::Png));
    let bounds = json!({ "x": 100, "y": 40, "width": 200, "height": 100 });
    assert_eq!((&photo()["bounds"], &studio.list("photos")[0]["bounds"]), (&bounds, &bounds));
    let answer = client.get(&small).well();
    let seen = image::load_from_memory(&answer.bytes).expect("an image").to_luma8();
    let thumbnail = image::load_from_memory(&studio.bytes(&format!("photos/{id}/thumbnail")));
    let thumbnail = thumbnail.expect("an image");
    assert_eq!((seen.dimensions(), thumbnail.width()), ((384, 192), 384));
    assert_eq!((seen.get_pixel(96, 43)[0], seen.get_pixel(10, 10)[0]), (255, 0));
    assert_eq!(client.with("if-none-match", answer.header("etag")).get(&small).status, 304);

    // One that covers nothing is a mask all the same; with it the other one's files go.
    let with = files(&data);
    let tag = client.get(&mask).header("etag").to_owned();
    let blank = encoded(GrayImage::new(800, 400), ImageFormat::Png);
    client.with("if-match", tag).send("PUT", &mask, Some(&blank)).well();
    assert!(photo()["mask"].is_string() && photo().get("bounds").is_none(), "{}", photo());
    client.get(&small).well();
    assert_eq!(files(&data).len(), with.len());
    let tag = client.get(&mask).header("etag").to_owned();
    client.with("if-match", tag).send("DELETE", &mask, None).well();
    client.get(&small).problem(404, "missing");
    assert_eq!(files(&data), without);
}
