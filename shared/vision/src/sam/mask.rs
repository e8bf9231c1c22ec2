//! From the decoder's logits to a mask of the photo's size, and how sure it is.

/// How little a mask depends on its threshold: the intersection over union of the masks that a threshold a little higher and a little
/// lower would give (*Segment Anything*, appendix B). The authors take it of the photo's logits, so that what had been padded has no say.
#[derive(Clone, Copy, Debug)]
pub struct Stability {
    offset: f32,
    sure: usize,
    likely: usize,
}

impl Stability {
    /// Of thresholds that are `offset` away from 0; the authors' is 1.
    #[must_use]
    pub fn new(offset: f32) -> Self {
        Self { offset, sure: 0, likely: 0 }
    }

    /// Takes note of further positions.
    pub fn add(&mut self, logits: &[f32]) {
        let above = |threshold: f32| logits.iter().filter(|&&logit| logit > threshold).count();
        self.sure += above(self.offset);
        self.likely += above(-self.offset);
    }

    /// The share of positions above the offset among those above its negative, 0..=1; 1 where there are none.
    #[must_use]
    pub fn share(&self) -> f32 {
        if self.likely == 0 { 1.0 } else { self.sure as f32 / self.likely as f32 }
    }
}

/// Height and width, in pixels, of a photo of `size` when its longer side becomes `longest`.
#[must_use]
pub fn fitted(size: [usize; 2], longest: usize) -> [usize; 2] {
    let most = size[0].max(size[1]).max(1);
    // Rounded half up, in double precision, as the reference does; a thin photo keeps one row.
    size.map(|length| ((length as f64 * (longest as f64 / most as f64) + 0.5) as usize).max(1))
}

/// The logits of one mask, a square of `side`, as a photo of `size` (height and width) sees them: `[height * width]`.
///
/// They are enlarged to the encoder's square of `image_size`, what had been padded is cut off, and the rest is brought to
/// the photo's size; bilinear both times, as in the reference.
#[must_use]
pub fn to_photo(logits: &[f32], side: usize, image_size: usize, size: [usize; 2]) -> Vec<f32> {
    let mut photo = Vec::with_capacity(size[0] * size[1]);
    rows_of_photo(logits, side, image_size, size, |row| photo.extend_from_slice(row));
    photo
}

/// The same as coverage, 255 where a logit is positive and 0 elsewhere, without the logits of all pixels in memory.
#[must_use]
pub fn cover(logits: &[f32], side: usize, image_size: usize, size: [usize; 2]) -> Vec<u8> {
    cover_noting(logits, side, image_size, size, |_| ())
}

/// The same, with each row of the photo's logits shown to `note`.
pub fn cover_noting(
    logits: &[f32],
    side: usize,
    image_size: usize,
    size: [usize; 2],
    mut note: impl FnMut(&[f32]),
) -> Vec<u8> {
    let mut photo = Vec::with_capacity(size[0] * size[1]);
    rows_of_photo(logits, side, image_size, size, |row| {
        note(row);
        photo.extend(row.iter().map(|&logit| if logit > 0.0 { 255 } else { 0 }));
    });
    photo
}

fn rows_of_photo(logits: &[f32], side: usize, image_size: usize, size: [usize; 2], row: impl FnMut(&[f32])) {
    let mut square = Vec::with_capacity(image_size * image_size);
    bilinear(logits, side, [side, side], [image_size, image_size], |row| square.extend_from_slice(row));
    bilinear(&square, image_size, fitted(size, image_size), size, row);
}

/// The upper left part, `from` high and wide, of `x` (rows of `stride` values), brought `to` another size and given to
/// `each` row by row: bilinear with the centres of pixels in their middle, without antialiasing.
fn bilinear(x: &[f32], stride: usize, from: [usize; 2], to: [usize; 2], mut each: impl FnMut(&[f32])) {
    let weights = |axis: usize| -> Vec<(usize, usize, f32)> {
        let (length, count) = (from[axis], to[axis]);
        let scale = length as f32 / count as f32;
        (0..count)
            .map(|at| {
                let place = ((at as f32 + 0.5) * scale - 0.5).max(0.0);
                let first = (place as usize).min(length - 1);
                (first, (first + 1).min(length - 1), place - first as f32)
            })
            .collect()
    };
    let (rows, columns) = (weights(0), weights(1));
    let mut y = vec![0f32; to[1]];
    for &(top, bottom, down) in &rows {
        let (upper, lower) = (&x[top * stride..], &x[bottom * stride..]);
        for (y, &(left, right, across)) in y.iter_mut().zip(&columns) {
            let along = |row: &[f32]| (1.0 - across) * row[left] + across * row[right];
            *y = (1.0 - down) * along(upper) + down * along(lower);
        }
        each(&y);
    }
}
