//! Clicks on their way into the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::Mutex;
use vayro_core::click::Click;
use vayro_core::ports::{ClickSink, SinkError};

use crate::client::RedisClient;
use crate::dial::{Dialer, Node, Redirect};
use crate::lane::{Lane, is_demoted};
use crate::names::ShardKeys;
use crate::shard::Shard;
use crate::shards::{Layout, Shards};
use crate::slot::{Slot, away};
use crate::wire::{Request, Wire};

/// Clicks sent before their answers are awaited. More only take memory.
const CLICKS_PER_REQUEST: usize = 512;
/// How often clicks are sent on to where their shard is now.
const REDIRECTS_MAX: usize = 8;
/// Nodes that connections are kept to; far more than any cluster has at a time.
const NODES_MAX: usize = 256;

/// Appends clicks to the shards of the stream, many at a time and one entry each.
///
/// The stream is never cut here: a length limit would drop clicks that no worker has seen. When memory is
/// full the server refuses, and the caller keeps the clicks. One call is on its way at a time.
#[derive(Debug)]
pub struct RedisClickSink {
    dialer: Dialer,
    shards: Arc<Shards>,
    timeout: Duration,
    state: Mutex<State>,
    /// Where a bare connection cannot reach.
    lane: Lane,
}

#[derive(Debug, Default)]
struct State {
    wires: BTreeMap<Node, Slot<Wire>>,
    request: Request,
    /// Where appending failed the last time. These come first: as long as they fail, nothing is appended
    /// elsewhere, where the same clicks would pile up with every try.
    failed: BTreeSet<Node>,
}

/// A click and the stream it goes into.
type Addressed<'a> = (&'a ShardKeys, &'a Click);

impl RedisClickSink {
    /// Returns the near end of the stream.
    pub fn new(client: &RedisClient) -> Self {
        Self {
            dialer: client.dialer.clone(),
            shards: Arc::clone(&client.shards),
            timeout: client.response_timeout,
            state: Mutex::default(),
            lane: client.commands.clone(),
        }
    }

    async fn append_all(&self, clicks: &[Click]) -> RedisResult<()> {
        let layout = self.shards.layout().await?;
        let mut left = address(&layout, clicks);
        let state = &mut *self.state.lock().await;
        for _ in 0..=REDIRECTS_MAX {
            let mut moved = Vec::new();
            for (node, some) in self.by_node(left, &state.failed).await? {
                match self.append_at(&node, &some, state).await {
                    Ok(()) => drop(state.failed.remove(&node)),
                    Err(error) => match self.dialer.learn(&error, &node) {
                        Some(Redirect::Moved) => moved.extend(some),
                        // A shard on its way between nodes is followed by the ordinary connection.
                        Some(Redirect::Ask(_) | Redirect::Wait) => self.append_by_lane(&some).await?,
                        None => {
                            state.failed.insert(node);
                            return Err(error);
                        }
                    },
                }
            }
            if moved.is_empty() {
                return Ok(());
            }
            left = moved;
        }
        Err(away("the nodes of the cluster do not agree on who owns a shard"))
    }

    /// Sorts clicks by the server of their shard, those that failed before first.
    async fn by_node<'a>(
        &self,
        clicks: Vec<Addressed<'a>>,
        failed: &BTreeSet<Node>,
    ) -> RedisResult<Vec<(Node, Vec<Addressed<'a>>)>> {
        if !self.dialer.is_cluster() {
            let is_empty = clicks.is_empty();
            return Ok(if is_empty { Vec::new() } else { vec![(Node::Main, clicks)] });
        }
        let mut nodes: BTreeMap<Shard, Node> = BTreeMap::new();
        let mut parts: BTreeMap<(bool, Node), Vec<Addressed<'a>>> = BTreeMap::new();
        for (keys, click) in clicks {
            let node = match nodes.get(&keys.shard) {
                Some(node) => node.clone(),
                None => self.dialer.node_of(&keys.stream).await?,
            };
            nodes.insert(keys.shard, node.clone());
            parts.entry((!failed.contains(&node), node)).or_default().push((keys, click));
        }
        Ok(parts.into_iter().map(|((_, node), part)| (node, part)).collect())
    }

    async fn append_at(&self, node: &Node, clicks: &[Addressed<'_>], state: &mut State) -> RedisResult<()> {
        if !self.dialer.has_wire() {
            return self.append_by_lane(clicks).await;
        }
        if state.wires.len() >= NODES_MAX && !state.wires.contains_key(node) {
            state.wires.clear();
        }
        let slot = state.wires.entry(node.clone()).or_default();
        let request = &mut state.request;
        for some in clicks.chunks(CLICKS_PER_REQUEST) {
            request.clear();
            for (keys, click) in some {
                encode(request, &keys.stream, click);
            }
            let mut wire = slot.take(self.dial(node)).await?;
            let exchange = async {
                wire.send(request).await?;
                wire.expect(some.len()).await
            };
            let outcome =
                tokio::time::timeout(self.timeout, exchange).await.map_err(std::io::Error::from)??;
            let outcome = outcome.map_err(RedisError::from);
            if !outcome.as_ref().is_err_and(is_demoted) {
                slot.put(wire);
            }
            outcome?;
        }
        Ok(())
    }

    async fn dial(&self, node: &Node) -> RedisResult<Wire> {
        Ok(self.dialer.dial_wire(node).await?.polled()?)
    }

    async fn append_by_lane(&self, clicks: &[Addressed<'_>]) -> RedisResult<()> {
        let mut shards: BTreeMap<Shard, Vec<Addressed<'_>>> = BTreeMap::new();
        for (keys, click) in clicks {
            shards.entry(keys.shard).or_default().push((keys, click));
        }
        for clicks in shards.values() {
            for some in clicks.chunks(CLICKS_PER_REQUEST) {
                let mut pipeline = Pipeline::with_capacity(some.len());
                for (keys, click) in some {
                    let mut command = Cmd::new();
                    command.arg("XADD").arg(&keys.stream).arg("*");
                    click.encode(|name, value| {
                        command.arg(name).arg(value);
                    });
                    pipeline.add_command(command);
                }
                for reply in self.lane.replies(&some[0].0.stream, &pipeline).await? {
                    if let Value::ServerError(error) = reply {
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Finds the shard of each click.
fn address<'a>(layout: &'a Layout, clicks: &'a [Click]) -> Vec<Addressed<'a>> {
    let (active, count) = (&layout.active, layout.count());
    let keys = |click: &Click| match Shard::of(click.link_id, count) {
        Shard::Whole => &active[0],
        // There are as many as they are counted, in order; any would do.
        Shard::Part(part) => &active[usize::from(part)],
    };
    clicks.iter().map(|click| (&**keys(click), click)).collect()
}

fn encode(request: &mut Request, stream: &str, click: &Click) {
    let at = request.begin();
    request.value("XADD").value(stream).value("*");
    let mut values = 3;
    click.encode(|name, value| {
        request.value(name).value(value);
        values += 2;
    });
    request.finish(at, values);
}

#[async_trait]
impl ClickSink for RedisClickSink {
    async fn append(&self, clicks: &[Click]) -> Result<(), SinkError> {
        if clicks.is_empty() {
            return Ok(());
        }
        self.append_all(clicks).await.map_err(|error| SinkError(error.into()))
    }
}
