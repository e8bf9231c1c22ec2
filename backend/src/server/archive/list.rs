//! The list of a zip's files. It is held in memory, so what it says of its own length is not believed.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};

use super::broken;
use crate::server::http::problem::ApiError;

/// The most files in an archive: more than the largest project's photos have, each with mask and thumbnail, and tens of thousands of images.
const MAX_FILES: u64 = 250_000;
/// The longest list of files, in bytes.
const MAX_LIST: u64 = 64 << 20;
/// Where the zip's end begins, at most so many bytes before that of the file: its record, the locator before it, and a comment.
const END: u64 = 22 + 20 + (1 << 16);

/// Opens the zip at `path`, whose list of files is neither too long nor says that it is.
pub(super) fn open(path: &Path) -> Result<ZipArchive<BufReader<File>>, ApiError> {
    listed(path, MAX_LIST)
}

fn listed(path: &Path, longest: u64) -> Result<ZipArchive<BufReader<File>>, ApiError> {
    // A search for where the zip begins could find anything.
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut file = File::open(path)?;
    check_count(claimed(&mut file)?)?;
    file.rewind()?;
    // First with a limit: a list may go on for longer than it says.
    let limited = Limited { inner: BufReader::new(file), left: longest };
    let known = ZipArchive::with_config(config, limited).map_err(|error| broken(&error))?;
    check_count(known.len() as u64)?;
    drop(known);
    ZipArchive::with_config(config, BufReader::new(File::open(path)?)).map_err(|error| broken(&error))
}

fn check_count(files: u64) -> Result<(), ApiError> {
    match files <= MAX_FILES {
        true => Ok(()),
        false => Err(ApiError::bad_file(format!("the zip has {files} files; pack at most {MAX_FILES}"))),
    }
}

/// The most files that a record says there are. Room is made for as many before the list is read. Only zip64's record can say more than
/// 65,535; a locator before the zip's end tells where it is.
fn claimed(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut tail = Vec::new();
    file.by_ref().take(END).read_to_end(&mut tail)?;
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let mut most = 0;
    for locator in tail.windows(20).filter(|bytes| bytes.starts_with(b"PK\x06\x07")) {
        let mut record = [0; 40];
        let place = SeekFrom::Start(number(&locator[8..16]));
        let read = file.seek(place).and_then(|_| file.read_exact(&mut record));
        // One that leads nowhere is found out when the list is read.
        if read.is_ok() && record.starts_with(b"PK\x06\x06") {
            most = most.max(number(&record[32..40]));
        }
    }
    Ok(most)
}

/// A reader of which only so many bytes are read.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(to)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other("the list of its files is too long"))?;
        Ok(read)
    }
}

impl<R: Seek> Seek for Limited<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// A zip of so many empty files.
    fn zipped(files: u32) -> Vec<u8> {
        let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
        for file in 0..files {
            zip.start_file(format!("{file}.png"), SimpleFileOptions::default()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn opened(bytes: &[u8], longest: u64) -> Result<usize, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let found = listed(file.path(), longest).map(|zip| zip.len());
        found.map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn long_lists_are_not_read() {
        assert_eq!(opened(&zipped(300), MAX_LIST), Ok(300));
        let fault = opened(&zipped(3000), 100_000).unwrap_err();
        assert!(fault.contains("too long"), "{fault}");
        // What begins elsewhere, or ends early, is refused.
        for bytes in [[b"before".as_slice(), &zipped(3)].concat(), zipped(3)[..60].to_vec(), Vec::new()] {
            let fault = opened(&bytes, MAX_LIST).unwrap_err();
            assert!(fault.contains("cannot be read"), "{fault}");
        }
    }

    #[test]
    fn a_list_that_claims_to_be_long_is_not_read() {
        let mut bytes = zipped(3);
        let end = bytes.split_off(bytes.len() - 22);
        let record = bytes.len() as u64;
        bytes.extend_from_slice(b"PK\x06\x06");
        bytes.extend_from_slice(&44_u64.to_le_bytes());
        bytes.extend_from_slice(&[45, 0, 45, 0]);
        bytes.extend_from_slice(&[0; 8]);
        for number in [1_000_000_000_u64, 1_000_000_000, 46_000_000_000, 0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(b"PK\x06\x07\0\0\0\0");
        bytes.extend_from_slice(&record.to_le_bytes());
        bytes.extend_from_slice(&1_u32.to_le_bytes());
        bytes.extend_from_slice(&end);
        let fault = opened(&bytes, MAX_LIST).unwrap_err();
        assert!(fault.contains("1000000000 files"), "{fault}");
    }

    #[test]
    fn more_than_fit_the_first_format_are_read() {
        assert_eq!(opened(&zipped(70_000), MAX_LIST), Ok(70_000));
    }
}
