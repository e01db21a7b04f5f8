//! The store on Redis keeps what the port promises.

mod common;

master_agent_store::job_store_tests!(common::fixture);
