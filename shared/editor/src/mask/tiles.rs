//! Parts of a mask, packed: what undo and the journal keep.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::GrayImage;
use mudi_domain::geometry::Rect;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The side of a tile, in pixels. Those at the right and lower edge are smaller.
pub(super) const TILE: u32 = 128;

/// A tile's column and row, counted in tiles.
pub(super) type Place = (u16, u16);

/// A tile's coverages, compressed by LZ4: an even tile takes some 80 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed(Vec<u8>);

impl Packed {
    fn of(pixels: &[u8]) -> Self {
        Self(lz4_flex::compress(pixels))
    }

    /// The `count` coverages; none where the bytes are damaged.
    fn pixels(&self, count: usize) -> Option<Vec<u8>> {
        lz4_flex::decompress(&self.0, count).ok().filter(|pixels| pixels.len() == count)
    }

    /// Bytes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.capacity() + size_of::<Self>()
    }
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// The pixels of a tile in a mask of `width` by `height`; none where there is no such tile.
#[must_use]
pub(super) fn rect(place: Place, width: u32, height: u32) -> Option<Rect> {
    let corner = (u32::from(place.0) * TILE, u32::from(place.1) * TILE);
    Rect::new(corner.0 as i32, corner.1 as i32, TILE, TILE).intersect(&Rect::whole(width, height))
}

/// The tiles of which `area` has pixels, row by row. `area` must lie inside of the mask.
pub(super) fn places(area: Rect) -> impl Iterator<Item = Place> {
    let tile = |pixel: i64| (pixel / i64::from(TILE)) as u16;
    let (columns, rows) =
        (tile(i64::from(area.x))..=tile(area.right() - 1), tile(i64::from(area.y))..=tile(area.bottom() - 1));
    rows.flat_map(move |row| columns.clone().map(move |column| (column, row)))
}

/// Copies the pixels of `area`, row by row, to `pixels`.
pub(super) fn read(mask: &GrayImage, area: Rect, pixels: &mut Vec<u8>) {
    pixels.clear();
    for row in rows(mask, area) {
        pixels.extend_from_slice(&mask.as_raw()[row]);
    }
}

/// Copies `pixels`, row by row, to `area`.
pub(super) fn write(mask: &mut GrayImage, area: Rect, pixels: &[u8]) {
    let rows: Vec<_> = rows(mask, area).collect();
    for (row, from) in rows.into_iter().zip(pixels.chunks_exact(area.width as usize)) {
        (**mask)[row].copy_from_slice(from);
    }
}

/// Where the rows of `area`, which lies inside, are in the mask's memory.
pub(super) fn rows(mask: &GrayImage, area: Rect) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
    let width = mask.width() as usize;
    let (x, length) = (area.x as usize, area.width as usize);
    (area.y as usize..area.bottom() as usize).map(move |y| y * width + x..y * width + x + length)
}

/// Tiles as they were, or shall be: what an operation has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Place, Packed)>", into = "Vec<(Place, Packed)>")]
pub struct Patch(BTreeMap<Place, Packed>);

impl From<Vec<(Place, Packed)>> for Patch {
    fn from(tiles: Vec<(Place, Packed)>) -> Self {
        Self(tiles.into_iter().collect())
    }
}

impl From<Patch> for Vec<(Place, Packed)> {
    fn from(patch: Patch) -> Self {
        patch.0.into_iter().collect()
    }
}

impl Patch {
    /// Keeps the tiles of `area` as `mask` has them, but for those that are kept already. What shall be written is kept
    /// first.
    pub(super) fn keep(&mut self, mask: &GrayImage, area: Rect) {
        let Some(area) = area.intersect(&Rect::whole(mask.width(), mask.height())) else { return };
        let mut pixels = Vec::new();
        for place in places(area) {
            if let std::collections::btree_map::Entry::Vacant(entry) = self.0.entry(place)
                && let Some(tile) = rect(place, mask.width(), mask.height())
            {
                read(mask, tile, &mut pixels);
                entry.insert(Packed::of(&pixels));
            }
        }
    }

    /// Forgets the tiles that `mask` has as they are here.
    pub(super) fn retain_changed(&mut self, mask: &GrayImage) {
        let mut pixels = Vec::new();
        self.0.retain(|&place, packed| {
            let Some(tile) = rect(place, mask.width(), mask.height()) else { return false };
            read(mask, tile, &mut pixels);
            packed.pixels(pixels.len()).as_deref() != Some(&pixels[..])
        });
    }

    /// Puts the tiles into `mask` and returns what they have replaced. Tiles that do not fit or are damaged are left out.
    #[must_use]
    pub(super) fn exchange(&self, mask: &mut GrayImage) -> Self {
        let mut before = Self::default();
        for (&place, packed) in &self.0 {
            let Some(tile) = rect(place, mask.width(), mask.height()) else { continue };
            if let Some(pixels) = packed.pixels(tile.area() as usize) {
                before.keep(mask, tile);
                write(mask, tile, &pixels);
            }
        }
        before
    }

    /// Whether every tile fits a mask of `width` by `height` and can be unpacked.
    #[must_use]
    pub(super) fn fits(&self, width: u32, height: u32) -> bool {
        self.0.iter().all(|(&place, packed)| {
            rect(place, width, height).is_some_and(|tile| packed.pixels(tile.area() as usize).is_some())
        })
    }

    /// The tiles as `mask` has them now.
    #[must_use]
    pub(super) fn as_now(&self, mask: &GrayImage) -> Self {
        let mut now = Self::default();
        for &place in self.0.keys() {
            if let Some(tile) = rect(place, mask.width(), mask.height()) {
                now.keep(mask, tile);
            }
        }
        now
    }

    /// The smallest rectangle around all tiles, in pixels of a mask of `width` by `height`; none where there are no tiles.
    #[must_use]
    pub fn bounds(&self, width: u32, height: u32) -> Option<Rect> {
        self.0.keys().filter_map(|&place| rect(place, width, height)).reduce(|a, b| a.union(&b))
    }

    /// Whether there are no tiles.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.values().map(|packed| packed.size() + size_of::<Place>()).sum()
    }
}

/// Writes every tile anew: `compute` is given a tile's place and pixels and changes these. Tiles that stay as they are
/// are not kept. Returns the smallest rectangle around those that have changed.
pub(super) fn rewrite(
    mask: &mut GrayImage,
    before: &mut Patch,
    mut compute: impl FnMut(Rect, &mut [u8]),
) -> Option<Rect> {
    let (width, height) = mask.dimensions();
    if width == 0 || height == 0 {
        return None;
    }
    let (mut pixels, mut changed) = (Vec::new(), None::<Rect>);
    let mut new = Vec::new();
    for place in places(Rect::whole(width, height)) {
        let Some(tile) = rect(place, width, height) else { continue };
        read(mask, tile, &mut pixels);
        new.clone_from(&pixels);
        compute(tile, &mut new);
        if new != pixels {
            before.keep(mask, tile);
            write(mask, tile, &new);
            changed = Some(changed.map_or(tile, |area| area.union(&tile)));
        }
    }
    changed
}
