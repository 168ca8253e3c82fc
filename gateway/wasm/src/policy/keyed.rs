//! The functions of state that nearly every request calls, linked by hand: they read the key where the guest has it,
//! where generated ones copy it first.

use wasmtime::component::{Linker, WasmStr};

use super::data::PolicyData;
use super::wit::policy_types;
use crate::convert;
use crate::host::ExchangeHost;
use crate::state::Observation;

const INTERFACE: &str = "sluice:gateway/state@0.1.0";

/// Puts them in place of the generated ones.
pub(super) fn add_to_linker<E: ExchangeHost>(linker: &mut Linker<PolicyData<E>>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap("reserve", |store, (bucket, key, cost, max_wait_ns): (u32, WasmStr, u32, u64)| {
        let data: &PolicyData<E> = store.data();
        let reservation = data.state()?.reserve(bucket, &key.to_str(&store)?, cost, max_wait_ns);
        Ok((convert::reservation(reservation),))
    })?;
    interface.func_wrap("load", |store, (cell, key): (u32, WasmStr)| {
        let data: &PolicyData<E> = store.data();
        Ok((data.state()?.load(cell, &key.to_str(&store)?),))
    })?;
    interface.func_wrap("observe", |store, (window, key, code, failure, latency_ns): Observed| {
        let data: &PolicyData<E> = store.data();
        let seen = Observation { code, failure: failure.map(convert::failure_of), latency_ns };
        data.state()?.observe(window, &key.to_str(&store)?, seen);
        Ok(())
    })?;
    interface.func_wrap("enter", |mut store, (gate, key, priority): (u32, WasmStr, u8)| {
        let data: &PolicyData<E> = store.data();
        let entered = data.state()?.enter(gate, &key.to_str(&store)?, priority);
        Ok((store.data_mut().keep(entered),))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

type Observed = (u32, WasmStr, u16, Option<policy_types::Failure>, u64);
