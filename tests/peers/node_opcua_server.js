// A node-opcua server for tests and drills:
// node node_opcua_server.js PORT [--counters N] [--period-seconds S] [--limit N] [--hide-limits] [--history N]
//   [--foreign-namespaces N] [--journal FILE --path PREFIX]
// Same tree as tests/integration/opcua_server.py: counters c0.. and a writable setpoint in namespace urn:edged:test.
// Source times are whole milliseconds, rising per signal. The journal names the counters PREFIX/c0.. and is written, in the
// format of edged_sim.journal, before a client can see the values.
const fs = require("node:fs");
const { OPCUAServer, MonitoredItem, Variant, DataType, StatusCodes, MessageSecurityMode, SecurityPolicy } = require("node-opcua");

// This server samples by timers. It must do so faster than the counters change, and nothing may change between its waking
// from a stall and its next sampling: what it never sampled it never offered.
const FASTEST_SAMPLING_MILLISECONDS = 10;
const STALLED_AFTER_PERIODS = 2;

function option(name, fallback) {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
}

function text(name) {
  const at = process.argv.indexOf(name);
  return at < 0 ? null : process.argv[at + 1];
}

function openJournal() {
  const path = text("--journal");
  if (path === null) return () => {};
  const file = fs.openSync(path, "a");
  const append = (line) => fs.writeSync(file, JSON.stringify(line) + "\n");
  append({ start: Date.now() * 1e6, pid: process.pid, face: "opcua" });
  return append;
}

async function main() {
  MonitoredItem.minimumSamplingInterval = FASTEST_SAMPLING_MILLISECONDS;
  const limit = option("--limit", 1000);
  const server = new OPCUAServer({
    port: Number(process.argv[2]),
    hostname: "127.0.0.1",
    allowAnonymous: true,
    securityModes: [MessageSecurityMode.None],
    securityPolicies: [SecurityPolicy.None],
    serverCapabilities: {
      maxSessions: 20,
      operationLimits: { maxMonitoredItemsPerCall: limit, maxNodesPerRead: limit, maxNodesPerWrite: limit },
    },
  });
  await server.initialize();
  for (let i = 0; i < option("--foreign-namespaces", 0); i++) server.engine.addressSpace.registerNamespace(`urn:foreign:${i}`);
  const namespace = server.engine.addressSpace.registerNamespace("urn:edged:test");
  const folder = namespace.addFolder("ObjectsFolder", { browseName: "Counters" });
  const counters = [];
  for (let i = 0; i < option("--counters", 20); i++) {
    const node = { componentOf: folder, browseName: `c${i}`, nodeId: `s=c${i}`, dataType: DataType.Double };
    counters.push(namespace.addVariable(node));
  }
  const kept = option("--history", 0);
  if (kept > 0) {
    for (const counter of counters) server.engine.addressSpace.installHistoricalDataNode(counter, { maxOnlineValues: kept });
  }
  let setpoint = 0;
  namespace.addVariable({
    componentOf: folder,
    browseName: "setpoint",
    nodeId: "s=setpoint",
    minimumSamplingInterval: 100,
    dataType: DataType.Float,
    value: {
      get: () => new Variant({ dataType: DataType.Float, value: setpoint }),
      set: (variant) => {
        setpoint = variant.value;
        return StatusCodes.Good;
      },
    },
  });
  if (process.argv.includes("--hide-limits")) {
    for (const name of ["MaxMonitoredItemsPerCall", "MaxNodesPerRead", "MaxNodesPerWrite"]) {
      const node = server.engine.addressSpace.rootFolder.objects.server.serverCapabilities.operationLimits[name[0].toLowerCase() + name.slice(1)];
      node.bindVariable({ get: () => new Variant({ dataType: DataType.UInt32, value: 0 }) }, true);
    }
  }
  const append = openJournal();
  const paths = counters.map((_, i) => `${text("--path")}/c${i}`);
  let count = 0;
  let stamp = 0;
  let woken = Date.now();
  const period = option("--period-seconds", 0.05) * 1000;
  setInterval(() => {
    const stalled = Date.now() - woken > STALLED_AFTER_PERIODS * period;
    woken = Date.now();
    if (stalled) return;
    count += 1;
    stamp = Math.max(stamp + 1, Date.now());
    append({ t: stamp, signals: Object.fromEntries(paths.map((path) => [path, count])), bad: [], unchanged: [] });
    for (const counter of counters) {
      counter.setValueFromSource({ dataType: DataType.Double, value: count }, StatusCodes.Good, new Date(stamp));
    }
  }, period);
  await server.start();
  console.log(JSON.stringify({ ready: true }));
}

main();
