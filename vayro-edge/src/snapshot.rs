//! Links on disk, so that an edge that starts while nobody can be asked knows the links it knew before.
//!
//! One line each for a domain and a link: the CRC-32C of the rest in hexadecimal, a space, JSON. A line that is damaged
//! is left out, since a bit that flipped in a target would send visitors elsewhere; so is one of a kind that a newer
//! edge wrote. The file is replaced as a whole.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use vayro_core::host::Host;
use vayro_core::resolve::CachedLink;
use vayro_core::short_code::ShortCode;
use vayro_core::timestamp::Timestamp;

use crate::cache::KeyRef;
use crate::routes::DomainIndex;
use crate::shared::Shared;
use crate::shutdown::until_told;

/// Most bytes of a line; a target has at most some thousand.
const LINE_MAX: u64 = 64 * 1024;
/// The checksum and the space behind it.
const CHECKSUM_LEN: usize = 9;

/// One line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    /// A domain besides the default one.
    Domain(Cow<'a, Host>),
    Link(SavedLink<'a>),
}

/// A link as it was in memory.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedLink<'a> {
    /// `None` on the default domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<Cow<'a, Host>>,
    code: Cow<'a, str>,
    /// When it was looked up.
    fetched_at: Timestamp,
    link: Cow<'a, CachedLink>,
}

/// Writes lines one after the other.
struct Lines<W> {
    out: W,
    json: Vec<u8>,
}

impl<W: Write> Lines<W> {
    const fn new(out: W) -> Self {
        Self { out, json: Vec::new() }
    }

    fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.json.clear();
        serde_json::to_writer(&mut self.json, line)?;
        write!(self.out, "{:08x} ", crc32c::crc32c(&self.json))?;
        self.json.push(b'\n');
        self.out.write_all(&self.json)
    }
}

/// Returns what a line says; `None` if it is damaged or of an unknown kind.
fn parse(line: &[u8]) -> Option<Line<'static>> {
    let (checksum, json) = line.strip_suffix(b"\n")?.split_at_checked(CHECKSUM_LEN)?;
    let checksum = std::str::from_utf8(checksum.strip_suffix(b" ")?).ok()?;
    let is_sound = u32::from_str_radix(checksum, 16).ok()? == crc32c::crc32c(json);
    is_sound.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// Gives the lines of a file to `take` and returns how many were left out.
fn read(file: impl io::Read, mut take: impl FnMut(Line<'static>)) -> io::Result<u64> {
    let mut file = BufReader::new(file);
    let (mut line, mut left_out) = (Vec::new(), 0);
    loop {
        line.clear();
        if file.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(left_out);
        }
        // The rest of a line that is too long is damaged as well.
        match parse(&line) {
            Some(line) => take(line),
            None => left_out += 1,
        }
    }
}

/// Replaces the file by what `put` writes.
fn replace(path: &Path, put: impl FnOnce(&mut Lines<BufWriter<&File>>) -> io::Result<()>) -> io::Result<()> {
    let new = path.with_extension("new");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    let mut lines = Lines::new(BufWriter::new(&file));
    put(&mut lines)?;
    lines.out.flush()?;
    drop(lines);
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes the links in memory and the domains they are on, and returns how many links. Blocks.
fn save(shared: &Shared, path: &Path) -> io::Result<u64> {
    let hosts: HashMap<DomainIndex, Host> = shared.routes.indexes();
    let mut count = 0;
    replace(path, |lines| {
        for host in shared.routes.domains() {
            lines.write(&Line::Domain(Cow::Owned(host)))?;
        }
        for (key, entry) in shared.links.all() {
            let KeyRef { domain, code } = key.as_ref();
            let Ok(code) = std::str::from_utf8(code) else { continue };
            let host = hosts.get(&domain).map(Cow::Borrowed);
            if host.is_none() && domain != DomainIndex::DEFAULT {
                continue;
            }
            let fetched_at = entry.fetched_at();
            let link = Cow::Borrowed(&entry.link);
            lines.write(&Line::Link(SavedLink { host, code: code.into(), fetched_at, link }))?;
            count += 1;
        }
        Ok(())
    })?;
    Ok(count)
}

/// Puts the links of the file into memory, as old as they are, and returns the domains they are on; `None` if there is
/// no file. Blocks.
fn load(shared: &Shared, path: &Path) -> io::Result<Option<Vec<Host>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut domains = Vec::new();
    let mut links = 0_u64;
    let left_out = read(file, |line| match line {
        Line::Domain(host) => domains.push(host.into_owned()),
        Line::Link(SavedLink { host, code, fetched_at, link }) if ShortCode::is_valid(code.as_bytes()) => {
            let domain = host.map_or(DomainIndex::DEFAULT, |host| shared.routes.give_index(&host));
            shared.links.restore(KeyRef { domain, code: code.as_bytes() }, link.into_owned(), fetched_at);
            links += 1;
        }
        Line::Link(_) => {}
    })?;
    shared.metrics.links_restored.add(links);
    tracing::info!(
        links,
        left_out,
        "links of the last run are in memory, for as long as nobody can be asked"
    );
    Ok(Some(domains))
}

/// Keeps the links of one edge on disk.
#[derive(Clone)]
pub(crate) struct Snapshots {
    pub(crate) shared: Arc<Shared>,
    pub(crate) path: PathBuf,
}

impl Snapshots {
    /// Puts what was saved into memory and returns the domains that were known, if anything was saved. With a file that
    /// cannot be read the edge starts as without one.
    pub(crate) async fn restore(&self) -> Option<Vec<Host>> {
        let Self { shared, path } = self.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&shared, &path)).await;
        loaded.map_err(io::Error::other).flatten().unwrap_or_else(|error| {
            tracing::warn!(path = %self.path.display(), error = %error, "links of the last run cannot be read");
            None
        })
    }

    /// Saves now. An edge that does not know the domains yet has nothing better than what is saved.
    pub(crate) async fn save(&self) {
        let routes = &self.shared.routes;
        if !routes.is_loaded() && !routes.is_restored() {
            return;
        }
        let Self { shared, path } = self.clone();
        let saved = tokio::task::spawn_blocking(move || save(&shared, &path)).await;
        match saved.map_err(io::Error::other).flatten() {
            Ok(links) => {
                self.shared.metrics.snapshots_saved.add_one();
                tracing::debug!(links, "saved the links in memory");
            }
            Err(error) => {
                self.shared.metrics.snapshots_failed.add_one();
                tracing::warn!(path = %self.path.display(), error = %error, "links in memory cannot be saved");
            }
        }
    }

    /// Saves from time to time until `stopping` turns true.
    pub(crate) async fn keep_current(self, mut stopping: watch::Receiver<bool>) {
        let every = self.shared.settings.snapshot_every;
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => self.save().await,
                () = until_told(&mut stopping) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn link(target: &str) -> Line<'static> {
        let link: CachedLink = serde_json::from_value(serde_json::json!({
            "target": target, "active": true, "id": "01890000-0000-7000-8000-000000000001",
            "workspace": "01890000-0000-7000-8000-000000000002", "revision": 7,
        }))
        .expect("valid");
        Line::Link(SavedLink {
            host: Some(Cow::Owned("go.example.com".parse().expect("valid"))),
            code: "launch".into(),
            fetched_at: Timestamp::from_micros(5).expect("in range"),
            link: Cow::Owned(link),
        })
    }

    fn written(lines: &[Line<'_>]) -> Vec<u8> {
        let mut out = Lines::new(Vec::new());
        for line in lines {
            out.write(line).expect("memory takes everything");
        }
        out.out
    }

    fn all(file: &[u8]) -> (Vec<Line<'static>>, u64) {
        let mut lines = Vec::new();
        let left_out = read(file, |line| lines.push(line)).expect("memory is read");
        (lines, left_out)
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let lines = [
            Line::Domain(Cow::Owned("go.example.com".parse().expect("valid"))),
            link("https://example.com/"),
            link("https://example.com/other"),
        ];
        assert_eq!(all(&written(&lines)), (lines.into(), 0));
    }

    #[test]
    fn what_a_newer_edge_wrote_is_left_out() {
        let json = br#"{"campaign":7}"#;
        let mut file = format!("{:08x} ", crc32c::crc32c(json)).into_bytes();
        file.extend_from_slice(json);
        file.push(b'\n');
        file.extend(written(&[link("https://example.com/")]));
        assert_eq!(all(&file), (vec![link("https://example.com/")], 1));
    }

    proptest! {
        #[test]
        fn no_damage_changes_a_line(at in 0..1000_usize, bit in 0..8_u32, cut in 0..1000_usize) {
            let lines = [link("https://example.com/a"), link("https://example.com/b")];
            let mut file = written(&lines);
            let at = at % file.len();
            file[at] ^= 1 << bit;
            file.truncate(file.len() - cut % file.len());
            for line in all(&file).0 {
                prop_assert!(lines.contains(&line));
            }
        }

        #[test]
        fn rubbish_is_left_out(file in any::<Vec<u8>>()) {
            prop_assert_eq!(all(&file).0, []);
        }
    }
}
