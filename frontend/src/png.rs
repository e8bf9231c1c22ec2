//! PNG files without what they tell beside their pixels.

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Chunks that hold words, times and cameras' notes.
const TELLING: [&[u8]; 5] = [b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME"];

/// The file without its texts, notes and times; none where it is no PNG, or a broken one.
#[must_use]
pub fn without_metadata(file: &[u8]) -> Option<Vec<u8>> {
    let mut rest = file.strip_prefix(SIGNATURE)?;
    let mut kept = SIGNATURE.to_vec();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let kind = after.get(..4)?;
        // Length, kind, data, checksum.
        let whole = usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_add(12)?;
        let chunk = rest.get(..whole)?;
        if !TELLING.contains(&kind) {
            kept.extend_from_slice(chunk);
        }
        if kind == b"IEND" {
            return Some(kept);
        }
        rest = &rest[whole..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).expect("a short chunk").to_be_bytes();
        [&length, &kind[..], data, &[0; 4]].concat()
    }

    #[test]
    fn words_go_and_pixels_stay() {
        let (head, pixels, end) =
            (chunk(b"IHDR", b"1234567890123"), chunk(b"IDAT", b"pixels"), chunk(b"IEND", b""));
        let texts = [chunk(b"iTXt", b"parameters"), chunk(b"tEXt", b"x"), chunk(b"eXIf", b"camera")].concat();
        let file = [SIGNATURE, &head, &texts, &pixels, &end, b"more"].concat();
        assert_eq!(without_metadata(&file), Some([SIGNATURE, &head, &pixels, &end].concat()));
    }

    #[test]
    fn what_is_broken_is_none() {
        let file = [SIGNATURE, &chunk(b"IDAT", b"pixels"), &chunk(b"IEND", b"")].concat();
        assert!(without_metadata(&file).is_some());
        for length in 0..file.len() {
            assert_eq!(without_metadata(&file[..length]), None, "{length}");
        }
        let huge = [SIGNATURE, &[0xff; 4], b"IDAT"].concat();
        assert_eq!(without_metadata(&huge), None);
    }
}
