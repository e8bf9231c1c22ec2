//! What gamma does.

use image::{GrayImage, Luma, Rgb, RgbImage};
use mudi_domain::cutout::Cutout;
use mudi_domain::mask::Mask;

use super::*;
use crate::layout::gamma;

#[test]
fn gamma_is_in_the_noise_and_nowhere_else() {
    let photo = RgbImage::from_pixel(8, 8, Rgb([255, 255, 0]));
    let cutout = Cutout::new(&photo, &Mask::from_gray(GrayImage::from_pixel(8, 8, Luma([255])))).unwrap();
    let mut designer = Designer::new(None, [(id("a"), [(0, (8, 8))].into())].into(), Options::default());
    designer.update(Message::Add(id("a"), 0));
    let canvas = designer.layout().unwrap().render((64, 64), |_, _| Some(&cutout)).unwrap();
    let plain = gamma::noised(&canvas, 0.0, 3);
    let strong = gamma::noised(&canvas, 8.0, 3);
    let (outside, inside) = ((2, 2), (32, 32));
    assert_eq!(plain.get_pixel(outside.0, outside.1), strong.get_pixel(outside.0, outside.1));
    let difference = i32::from(strong.get_pixel(inside.0, inside.1)[0])
        - i32::from(plain.get_pixel(inside.0, inside.1)[0]);
    assert!((20..27).contains(&difference), "{difference}");
    // Of yellow a third is left in grey: above the noise inside, and nothing of it outside.
    let grey = |x: u32, y: u32| i32::from(gamma::averaged(&strong, 8).get_pixel(x, y)[0]);
    let quiet = |x: u32, y: u32| i32::from(gamma::averaged(&plain, 8).get_pixel(x, y)[0]);
    assert!(grey(32, 32) - quiet(32, 32) > 60, "{} {}", grey(32, 32), quiet(32, 32));
    assert_eq!(grey(4, 4), quiet(4, 4));
}
