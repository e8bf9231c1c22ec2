//! Collages: cutouts on white, one over another.
//!
//! This is the one place where cutouts become pixels. Seg-Mix training samples, the layout that a person drags
//! together and the image that seeds the mean-shifted noise all come from [`render`].

use image::{Luma, Rgb, RgbImage};

use crate::cutout::{Cutout, Turn};
use crate::geometry::Rect;
use crate::mask::Mask;
use crate::subject::SubjectId;

/// The smallest and the largest canvas, in pixels a side.
pub const CANVAS: std::ops::RangeInclusive<u32> = 16..=4096;
/// The most subjects on one canvas.
pub const MAX_SUBJECTS: usize = 8;
/// The largest part, as a multiple of the canvas's longer side.
const MAX_PART: u32 = 4;

/// A cutout to lay on a canvas.
#[derive(Debug, Clone)]
pub struct Piece<'a> {
    /// Whose cutout it is.
    pub subject: SubjectId,
    /// The cutout, at its own size.
    pub cutout: &'a Cutout,
    /// Where it goes, in pixels of the canvas; the cutout is scaled to this size. It may reach over the edge.
    pub rect: Rect,
    /// How it is mirrored and then turned about the middle of `rect`, which its corners may leave.
    pub turn: Turn,
    /// The stacking order: larger lies on top; of equals the later one does.
    pub z: i32,
}

/// A subject on a collage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Which subject.
    pub subject: SubjectId,
    /// Its box, in pixels of the canvas; of a turned one, the box around its corners.
    pub rect: Rect,
    /// What of it can be seen, as a mask of the canvas's size: its own mask less what lies on top.
    pub visible: Mask,
}

/// An image of subjects on white, W x H, with what a loss or a noise mean needs to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collage {
    /// The pixels, W x H, white where no subject is.
    pub image: RgbImage,
    /// What the subjects cover together, W x H. Every pixel that is not white has some coverage.
    pub union: Mask,
    /// The subjects, in the order in which they were given.
    pub parts: Vec<Placed>,
    /// Indices into `parts`, ordered by the horizontal centre of their rectangles: the order of a caption.
    pub left_to_right: Vec<usize>,
}

/// Why a collage cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CollageError {
    /// The canvas is too small or too large.
    #[error("a canvas of {} pixels is refused; use {} to {} a side", written(*size), CANVAS.start(), CANVAS.end())]
    Canvas {
        /// The asked width and height in pixels.
        size: (u32, u32),
    },
    /// There are no subjects, or too many.
    #[error("{count} subjects cannot share a collage; place {least} to {MAX_SUBJECTS}")]
    Count {
        /// How many there were.
        count: usize,
        /// The fewest that are possible.
        least: usize,
    },
    /// A subject is far larger than the canvas.
    #[error("`{subject}` would be {width}x{height} pixels on a canvas of {}; make it smaller", written(*canvas))]
    Large {
        /// Which subject.
        subject: SubjectId,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
        /// The canvas's width and height in pixels.
        canvas: (u32, u32),
    },
}

fn written((width, height): (u32, u32)) -> String {
    format!("{width}x{height}")
}

/// Fails where a canvas of `size` pixels (width and height) or a number of subjects is out of range.
pub(crate) fn check(size: (u32, u32), count: usize, least: usize) -> Result<(), CollageError> {
    if !CANVAS.contains(&size.0) || !CANVAS.contains(&size.1) {
        return Err(CollageError::Canvas { size });
    }
    if !(least..=MAX_SUBJECTS).contains(&count) {
        return Err(CollageError::Count { count, least });
    }
    Ok(())
}

/// `numerator / 255`, rounded, for products of two bytes.
fn over255(numerator: u32) -> u8 {
    ((numerator + 127) / 255) as u8
}

/// Lays `pieces` on a white canvas of `size` pixels, width and height.
///
/// # Errors
/// Where a side of the canvas is not in [`CANVAS`], there are no pieces or more than [`MAX_SUBJECTS`], or one is more than four
/// times as large as the canvas.
pub fn render(size: (u32, u32), pieces: &[Piece<'_>]) -> Result<Collage, CollageError> {
    check(size, pieces.len(), 1)?;
    let (width, height) = size;
    let limit = width.max(height) * MAX_PART;
    if let Some(piece) = pieces.iter().find(|piece| piece.rect.width.max(piece.rect.height) > limit) {
        return Err(CollageError::Large {
            subject: piece.subject.clone(),
            width: piece.rect.width,
            height: piece.rect.height,
            canvas: size,
        });
    }
    let mut image = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    let mut union = Mask::empty(width, height);
    let mut parts: Vec<Placed> = pieces
        .iter()
        .map(|piece| Placed {
            subject: piece.subject.clone(),
            rect: piece.turn.bounds(piece.rect),
            visible: Mask::empty(width, height),
        })
        .collect();
    let mut back_to_front: Vec<usize> = (0..pieces.len()).collect();
    back_to_front.sort_by_key(|&index| pieces[index].z);
    for &index in &back_to_front {
        lay(&pieces[index], index, &mut image, &mut union, &mut parts);
    }
    let mut left_to_right: Vec<usize> = (0..pieces.len()).collect();
    left_to_right.sort_by(|&a, &b| {
        let (a, b) = (parts[a].rect.center().0, parts[b].rect.center().0);
        a.total_cmp(&b)
    });
    Ok(Collage { image, union, parts, left_to_right })
}

/// Lays one piece over what is there.
fn lay(piece: &Piece<'_>, index: usize, image: &mut RgbImage, union: &mut Mask, parts: &mut [Placed]) {
    let rect = parts[index].rect;
    let Some(shown) = rect.intersect(&Rect::whole(image.width(), image.height())) else {
        return;
    };
    let scaled = piece.cutout.scaled(piece.rect.width, piece.rect.height);
    let scaled = if piece.turn.is_none() { scaled } else { scaled.turned(piece.turn, piece.rect) };
    for y in shown.y as u32..shown.y as u32 + shown.height {
        for x in shown.x as u32..shown.x as u32 + shown.width {
            let from = ((x as i32).abs_diff(rect.x), (y as i32).abs_diff(rect.y));
            let coverage = scaled.mask().coverage(from.0, from.1);
            if coverage == 0 {
                continue;
            }
            let (alpha, rest) = (u32::from(coverage), 255 - u32::from(coverage));
            let color = scaled.image().get_pixel(from.0, from.1);
            for (below, above) in image.get_pixel_mut(x, y).0.iter_mut().zip(color.0) {
                *below = over255(u32::from(above) * alpha + u32::from(*below) * rest);
            }
            let covered = union.as_gray_mut().get_pixel_mut(x, y);
            covered[0] = 255 - over255((255 - u32::from(covered[0])) * rest);
            for (other, part) in parts.iter_mut().enumerate() {
                let seen = part.visible.as_gray_mut().get_pixel_mut(x, y);
                *seen = if other == index {
                    Luma([coverage])
                } else {
                    Luma([over255(u32::from(seen[0]) * rest)])
                };
            }
        }
    }
}
