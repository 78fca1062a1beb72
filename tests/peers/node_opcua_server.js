// A node-opcua server for the tests: node node_opcua_server.js PORT [--counters N] [--period-seconds S] [--limit N] [--hide-limits]
// Same tree as tests/integration/opcua_server.py: counters c0.. and a writable setpoint in namespace urn:edged:test.
const { OPCUAServer, Variant, DataType, StatusCodes, MessageSecurityMode, SecurityPolicy } = require("node-opcua");

function option(name, fallback) {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
}

async function main() {
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
  const namespace = server.engine.addressSpace.registerNamespace("urn:edged:test");
  const folder = namespace.addFolder("ObjectsFolder", { browseName: "Counters" });
  const counters = [];
  for (let i = 0; i < option("--counters", 20); i++) {
    const node = { componentOf: folder, browseName: `c${i}`, nodeId: `s=c${i}`, dataType: DataType.Double };
    counters.push(namespace.addVariable(node));
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
      node.setValueFromSource({ dataType: DataType.UInt32, value: 0 });
    }
  }
  let count = 0;
  setInterval(() => {
    count += 1;
    for (const counter of counters) {
      counter.setValueFromSource({ dataType: DataType.Double, value: count }, StatusCodes.Good, new Date());
    }
  }, option("--period-seconds", 0.05) * 1000);
  await server.start();
  console.log(JSON.stringify({ ready: true }));
}

main();
