// Node-RED without its editor: on loopback only, one line per fault.
module.exports = {
    uiHost: "127.0.0.1",
    uiPort: process.env.PORT,
    httpAdminRoot: false,
    httpNodeRoot: false,
    credentialSecret: false,
    telemetry: { enabled: false, updateNotification: false },
    diagnostics: { enabled: false, ui: false },
    logging: { console: { level: "warn", metrics: false, audit: false } },
    contextStorage: { default: { module: "localfilesystem" } },
};
