//! Shared connections that are made when needed and made anew after they failed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, ScriptInvocation, Value};
use tokio::task::JoinSet;

use crate::backoff::Backoff;
use crate::dial::{Dialer, Node, Redirect};
use crate::slot::away;

/// Nodes that connections are kept to; far more than any cluster has at a time.
const NODES_MAX: usize = 256;
/// How often a command is sent on to where its key is now.
const REDIRECTS_MAX: usize = 8;
/// Pause while a key is on its way between nodes.
const MOVING_PAUSE: Duration = Duration::from_millis(20);

/// One connection per server that many callers use at the same time. A caller waits at most the response
/// timeout for it and as long again for the answer. Never for commands that block: they would hold up
/// everybody else.
///
/// Every command comes with the key that decides which node of a cluster it goes to; all keys of a command,
/// a pipeline or a script lie on the same slot.
#[derive(Clone, Debug)]
pub(crate) struct Lane(Arc<Lanes>);

#[derive(Debug)]
struct Lanes {
    dialer: Dialer,
    response_timeout: Duration,
    nodes: Mutex<HashMap<Node, Arc<NodeLane>>>,
}

/// What is sent at once.
#[derive(Clone, Copy)]
enum Words<'a> {
    Command(&'a Cmd),
    Pipeline(&'a Pipeline),
    Script(&'a ScriptInvocation<'a>),
}

impl Lane {
    /// Returns a lane that has no connection yet.
    pub(crate) fn new(dialer: Dialer, response_timeout: Duration) -> Self {
        Self(Arc::new(Lanes { dialer, response_timeout, nodes: Mutex::default() }))
    }

    /// Sends one command.
    pub(crate) async fn query<T: FromRedisValue>(&self, key: &str, cmd: &Cmd) -> RedisResult<T> {
        let mut replies = self.send(key, Words::Command(cmd)).await?;
        Ok(T::from_redis_value(replies.pop().unwrap_or(Value::Nil).extract_error()?)?)
    }

    /// Sends one command to a node, whatever keys are there.
    pub(crate) async fn query_at<T: FromRedisValue>(&self, node: &Node, cmd: &Cmd) -> RedisResult<T> {
        let mut replies = self.0.node(node).send(Words::Command(cmd)).await?;
        Ok(T::from_redis_value(replies.pop().unwrap_or(Value::Nil).extract_error()?)?)
    }

    /// Sends several commands at once.
    pub(crate) async fn pipeline<T: FromRedisValue>(&self, key: &str, pipeline: &Pipeline) -> RedisResult<T> {
        let replies = self.send(key, Words::Pipeline(pipeline)).await?;
        let replies: Result<Vec<_>, _> = replies.into_iter().map(Value::extract_error).collect();
        Ok(T::from_redis_value(Value::Array(replies?))?)
    }

    /// Sends several commands at once and returns their replies as they are, errors included.
    pub(crate) async fn replies(&self, key: &str, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        self.send(key, Words::Pipeline(pipeline)).await
    }

    /// Sends commands that are each about a key of their own and returns their replies in the same order as they
    /// are, errors included. In a cluster each node gets its own at once.
    pub(crate) async fn scatter(&self, commands: Vec<(String, Cmd)>) -> RedisResult<Vec<Value>> {
        if !self.0.dialer.is_cluster() {
            let mut pipeline = Pipeline::with_capacity(commands.len());
            for (_, command) in commands {
                pipeline.add_command(command);
            }
            return self.0.node(&Node::Main).send(Words::Pipeline(&pipeline)).await;
        }
        let mut nodes: HashMap<Node, (Vec<usize>, Pipeline)> = HashMap::new();
        for (index, (key, command)) in commands.iter().enumerate() {
            let node = self.0.dialer.node_of(key).await?;
            let (indexes, pipeline) = nodes.entry(node).or_default();
            indexes.push(index);
            pipeline.add_command(command.clone());
        }
        let mut replies = vec![Value::Nil; commands.len()];
        let mut asking = JoinSet::new();
        for (node, (indexes, pipeline)) in nodes {
            let lane = self.0.node(&node);
            asking.spawn(async move { (node, indexes, lane.send(Words::Pipeline(&pipeline)).await) });
        }
        while let Some(asked) = asking.join_next().await {
            let (node, indexes, answers) = asked.map_err(std::io::Error::other)?;
            for (index, answer) in indexes.into_iter().zip(answers?) {
                let redirect = match &answer {
                    Value::ServerError(error) => self.0.dialer.learn(&error.clone().into(), &node),
                    _ => None,
                };
                replies[index] = if redirect.is_none() {
                    answer
                } else {
                    // Its slot has moved or is moving; those are few.
                    let (key, command) = &commands[index];
                    self.send(key, Words::Command(command)).await?.pop().unwrap_or(Value::Nil)
                };
            }
        }
        Ok(replies)
    }

    /// Runs a script, sending its text only if the server does not know it.
    pub(crate) async fn script<T: FromRedisValue>(
        &self,
        key: &str,
        call: &ScriptInvocation<'_>,
    ) -> RedisResult<T> {
        let mut replies = self.send(key, Words::Script(call)).await?;
        Ok(T::from_redis_value(replies.pop().unwrap_or(Value::Nil))?)
    }

    /// Sends to where the key is, following it while it moves.
    async fn send(&self, key: &str, words: Words<'_>) -> RedisResult<Vec<Value>> {
        let dialer = &self.0.dialer;
        let mut redirects = 0;
        let mut asked = None;
        loop {
            let node = match &asked {
                Some(node) => Node::clone(node),
                None => Box::pin(dialer.node_of(key)).await?,
            };
            let result = match asked.take() {
                // Rare, and large for the stack of every command.
                Some(_) => Box::pin(self.0.ask(&node, words)).await,
                None => self.0.node(&node).send(words).await,
            };
            let redirect = failure(&result).and_then(|error| dialer.learn(&error, &node));
            redirects += 1;
            match redirect {
                Some(_) if redirects > REDIRECTS_MAX => return result,
                Some(Redirect::Moved) => {}
                Some(Redirect::Ask(node)) => asked = Some(node),
                Some(Redirect::Wait) => tokio::time::sleep(MOVING_PAUSE).await,
                None => return result,
            }
        }
    }
}

/// Returns the first thing that went wrong.
fn failure(result: &RedisResult<Vec<Value>>) -> Option<RedisError> {
    match result {
        Err(error) => Some(error.clone()),
        Ok(replies) => replies.iter().find_map(|reply| match reply {
            Value::ServerError(error) => Some(error.clone().into()),
            _ => None,
        }),
    }
}

impl Lanes {
    fn node(&self, node: &Node) -> Arc<NodeLane> {
        let mut nodes = self.nodes.lock();
        if nodes.len() >= NODES_MAX && !nodes.contains_key(node) {
            nodes.clear();
        }
        let lane = nodes.entry(node.clone()).or_insert_with(|| {
            Arc::new(NodeLane {
                dialer: self.dialer.clone(),
                node: node.clone(),
                response_timeout: self.response_timeout,
                state: Mutex::default(),
                dialing: tokio::sync::Mutex::default(),
            })
        });
        Arc::clone(lane)
    }

    /// Asks a node for a key that it takes over at this moment, on a connection of its own: the permission
    /// to ask holds for the next command only.
    async fn ask(&self, node: &Node, words: Words<'_>) -> RedisResult<Vec<Value>> {
        let mut connection = self.dialer.dial_blocking(node).await?;
        let connection = &mut connection;
        let asking = redis::cmd("ASKING");
        match words {
            Words::Command(_) => {
                asking.exec_async(connection).await?;
                words.say(connection).await
            }
            Words::Script(call) => {
                call.load_async(connection).await?;
                asking.exec_async(connection).await?;
                words.say(connection).await
            }
            Words::Pipeline(pipeline) => {
                let mut replies = Vec::with_capacity(pipeline.len());
                for command in pipeline.cmd_iter() {
                    asking.exec_async(connection).await?;
                    replies.push(connection.req_packed_command(command).await?);
                }
                Ok(replies)
            }
        }
    }
}

impl Words<'_> {
    async fn say(self, connection: &mut MultiplexedConnection) -> RedisResult<Vec<Value>> {
        match self {
            Self::Command(command) => Ok(vec![connection.req_packed_command(command).await?]),
            Self::Pipeline(pipeline) => connection.req_packed_commands(pipeline, 0, pipeline.len()).await,
            Self::Script(call) => Ok(vec![call.invoke_async(connection).await?]),
        }
    }
}

/// The connection to one server.
#[derive(Debug)]
struct NodeLane {
    dialer: Dialer,
    node: Node,
    response_timeout: Duration,
    state: Mutex<State>,
    /// Held while dialing, so that one failure is enough to learn that nobody answers.
    dialing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a late failure of an old one does not end its successor.
    generation: u64,
    backoff: Backoff,
}

impl NodeLane {
    async fn send(self: &Arc<Self>, words: Words<'_>) -> RedisResult<Vec<Value>> {
        let (mut connection, generation) = self.connection().await?;
        let result = words.say(&mut connection).await;
        if let Some(error) = failure(&result) {
            self.judge(generation, &error);
        }
        result
    }

    async fn connection(self: &Arc<Self>) -> RedisResult<(MultiplexedConnection, u64)> {
        if let Some(found) = self.current() {
            return Ok(found);
        }
        // A task of the long-lived runtime: it finishes even if this caller gives up, so that a slow
        // dial serves the next one.
        let lane = Arc::clone(self);
        let dial = self.dialer.runtime().spawn(async move { lane.dial().await });
        match tokio::time::timeout(self.response_timeout, dial).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(away("the runtime of the connections has ended")),
            Err(_) => Err(away("Redis is still being connected to")),
        }
    }

    /// Drops the connection if the error says that it is of no use anymore.
    fn judge(&self, generation: u64, error: &RedisError) {
        if error.is_unrecoverable_error() || error.is_timeout() || is_demoted(error) {
            let mut state = self.state.lock();
            if state.generation == generation && state.connection.take().is_some() {
                tracing::warn!(error = error as &dyn std::error::Error, "dropped a connection to Redis");
            }
        }
    }

    fn current(&self) -> Option<(MultiplexedConnection, u64)> {
        let state = self.state.lock();
        state.connection.clone().map(|connection| (connection, state.generation))
    }

    async fn dial(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        let _turn = self.dialing.lock().await;
        if let Some(found) = self.current() {
            return Ok(found);
        }
        if self.state.lock().backoff.wait(Instant::now()).is_some() {
            // The map of a cluster may have changed since.
            let error = away("Redis did not answer a moment ago");
            self.dialer.learn(&error, &self.node);
            return Err(error);
        }
        let result = self.dialer.dial(&self.node, self.response_timeout).await;
        let mut state = self.state.lock();
        let is_first_failure = state.backoff.note(result.is_ok(), Instant::now());
        match result {
            Ok(connection) => {
                state.generation += 1;
                state.connection = Some(connection.clone());
                Ok((connection, state.generation))
            }
            Err(error) => {
                if is_first_failure {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot connect to Redis");
                }
                Err(error)
            }
        }
    }
}

/// Sends several commands at once on this connection; the first that fails is the answer.
pub(crate) async fn ask_all(
    connection: &mut MultiplexedConnection,
    pipeline: &Pipeline,
) -> RedisResult<Vec<Value>> {
    let replies = Words::Pipeline(pipeline).say(connection).await?;
    replies.into_iter().map(Value::extract_error).collect()
}

/// Tells whether the server is read-only because another took its place; dialing again finds that one.
pub(crate) fn is_demoted(error: &RedisError) -> bool {
    error.code() == Some("READONLY")
}
