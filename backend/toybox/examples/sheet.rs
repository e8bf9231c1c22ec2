//! Draws a contact sheet: each kind in each look, each background, random scenes with their captions on stdout.
//!
//! `cargo run -p mudi-toybox --example sheet -- OUT.png [SIZE [SEED [ZOOM [FIRST_ROW ROWS]]]]`

use std::time::Instant;

use image::{RgbImage, imageops};
use mudi_domain::rng::stream;
use mudi_toybox::{Background, Color, Kind, Options, Scene, Toy, similar_group};

const COLUMNS: usize = 12;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let out = args.next().ok_or("usage: sheet OUT.png [SIZE [SEED [ZOOM [FIRST_ROW ROWS]]]]")?;
    let size: u32 = args.next().map_or(Ok(96), |arg| arg.parse())?;
    let seed: u64 = args.next().map_or(Ok(1), |arg| arg.parse())?;

    let zoom: u32 = args.next().map_or(Ok(1), |arg| arg.parse())?;
    let first: usize = args.next().map_or(Ok(0), |arg| arg.parse())?;
    let rows: usize = args.next().map_or(Ok(usize::MAX), |arg| arg.parse())?;

    let mut scenes = Vec::new();
    for (row, kind) in Kind::ALL.iter().enumerate() {
        for column in 0..COLUMNS {
            let rng = &mut stream(seed, "kinds", (row * COLUMNS + column) as u64);
            let toy = Toy { kind: *kind, ..Toy::random(rng) };
            let background = if column < 6 { Background::Simple } else { Background::random_place(rng) };
            scenes.push(Scene::compose(rng, [size; 2], background, vec![toy]));
        }
    }
    for column in 0..COLUMNS {
        let rng = &mut stream(seed, "backgrounds", column as u64);
        let background = Background::ALL[column % Background::ALL.len()];
        let toy = Toy { color: Color::Red, ..Toy::random(rng) };
        let mut scene = Scene::compose(rng, [size; 2], background, vec![toy]);
        scene.toys.clear();
        scenes.push(scene);
    }
    for column in 0..COLUMNS {
        let rng = &mut stream(seed, "groups", column as u64);
        let group = similar_group(rng, 2 + column % 4);
        let place = Background::random_place(rng);
        scenes.push(Scene::compose(rng, [size; 2], place, group));
    }
    for index in 0..3 * COLUMNS {
        let rng = &mut stream(seed, "scenes", index as u64);
        let scene = Scene::random(rng, &Options { size: [size; 2], ..Options::default() });
        println!("{}", scene.caption(rng));
        scenes.push(scene);
    }

    let scenes: Vec<Scene> =
        scenes.into_iter().skip(first * COLUMNS).take(rows.saturating_mul(COLUMNS)).collect();
    let start = Instant::now();
    let pictures: Vec<RgbImage> = scenes.iter().map(|scene| scene.render().image).collect();
    let each = start.elapsed().as_secs_f64() * 1e3 / pictures.len() as f64;
    eprintln!("{each:.2} ms a picture of {size} x {size}");

    let rows = pictures.len().div_ceil(COLUMNS) as u32;
    let mut sheet = RgbImage::new(size * COLUMNS as u32, size * rows);
    for (i, picture) in pictures.iter().enumerate() {
        let (x, y) = ((i % COLUMNS) as u32 * size, (i / COLUMNS) as u32 * size);
        imageops::replace(&mut sheet, picture, i64::from(x), i64::from(y));
    }
    let (width, height) = (sheet.width() * zoom, sheet.height() * zoom);
    imageops::resize(&sheet, width, height, imageops::FilterType::CatmullRom).save(out)?;
    Ok(())
}
