//! The mask above the photo, in tiles of the level that is about as fine as the screen.

use std::collections::HashMap;

use image::GrayImage;
use mudi_domain::geometry::Rect;
use mudi_editor::mask::{Style, draw, stale};
use wasm_bindgen::{Clamped, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use super::photo::{canvas, context};

/// The side of a tile, in pixels of the level.
const TILE: u32 = 256;

struct Tile {
    canvas: HtmlCanvasElement,
    context: CanvasRenderingContext2d,
    /// What has to be drawn anew, in pixels of the level.
    stale: Option<Rect>,
}

/// The tiles that were drawn.
#[derive(Default)]
pub(super) struct Overlay {
    level: u32,
    style: Option<Style>,
    tiles: HashMap<(i32, i32), Tile>,
}

fn place((column, row): (i32, i32)) -> Rect {
    let side = TILE as i32;
    Rect::new(column * side, row * side, TILE, TILE)
}

impl Overlay {
    /// Forgets everything, as for another mask.
    pub(super) fn clear(&mut self) {
        self.tiles.clear();
    }

    /// The mask has changed inside of `area`, in its own pixels.
    pub(super) fn changed(&mut self, area: Rect) {
        let area = stale(area, self.level);
        for (&at, tile) in &mut self.tiles {
            if let Some(part) = place(at).intersect(&area) {
                tile.stale = Some(tile.stale.map_or(part, |known| known.union(&part)));
            }
        }
    }

    /// Draws what of the level lies in `seen` (pixels of the photo). A place of the photo lies at `scale` times itself plus
    /// `offset` on the canvas; tiles begin and end at whole pixels there, or their seams would be seen.
    ///
    /// # Errors
    /// Where the browser has no room for a tile.
    pub(super) fn paint(
        &mut self,
        on: &CanvasRenderingContext2d,
        mask: &GrayImage,
        level: u32,
        style: Style,
        seen: Rect,
        (scale, offset): (f64, (f64, f64)),
    ) -> Result<(), JsValue> {
        if self.level != level {
            self.clear();
        } else if self.style != Some(style) {
            self.tiles.iter_mut().for_each(|(&at, tile)| tile.stale = Some(place(at)));
        }
        (self.level, self.style) = (level, Some(style));
        let side = i64::from(TILE) << level.min(16);
        let columns = i64::from(seen.x).div_euclid(side)..=(seen.right() - 1).div_euclid(side);
        let rows = i64::from(seen.y).div_euclid(side)..=(seen.bottom() - 1).div_euclid(side);
        for row in rows {
            for column in columns.clone() {
                let at = (column as i32, row as i32);
                if place(at).intersect(&Rect::whole(mask.width(), mask.height())).is_none() {
                    continue;
                }
                let tile = self.tile(at, mask, style)?;
                let edge = |index: i64, offset: f64| ((index * side) as f64 * scale + offset).round();
                let (left, top) = (edge(column, offset.0), edge(row, offset.1));
                let (right, bottom) = (edge(column + 1, offset.0), edge(row + 1, offset.1));
                on.draw_image_with_html_canvas_element_and_dw_and_dh(
                    &tile.canvas,
                    left,
                    top,
                    right - left,
                    bottom - top,
                )?;
            }
        }
        // Those far away go, so that memory is what a few screens take.
        if self.tiles.len() > 400 {
            let near = |(column, row): &(i32, i32)| {
                let (column, row) = (i64::from(*column) * side, i64::from(*row) * side);
                (column - i64::from(seen.x)).abs() < 8 * side && (row - i64::from(seen.y)).abs() < 8 * side
            };
            self.tiles.retain(|at, _| near(at));
        }
        Ok(())
    }

    fn tile(&mut self, at: (i32, i32), mask: &GrayImage, style: Style) -> Result<&Tile, JsValue> {
        let tile = match self.tiles.entry(at) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let canvas = canvas(TILE, TILE)?;
                let context = context(&canvas, true)?;
                entry.insert(Tile { canvas, context, stale: Some(place(at)) })
            }
        };
        if let Some(area) = tile.stale.take() {
            let pixels = draw(mask, area, style);
            let data =
                ImageData::new_with_u8_clamped_array_and_sh(Clamped(&pixels), area.width, area.height)?;
            let corner = place(at);
            tile.context.put_image_data(&data, f64::from(area.x - corner.x), f64::from(area.y - corner.y))?;
        }
        Ok(tile)
    }
}
