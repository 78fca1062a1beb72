/* A Modbus device made with libmodbus, unit 1 with registers set by hand; TCP serves one client after the other.
   libmodbus_device PORT | SERIAL_PORT */
#include <modbus/modbus.h>
#include <stdlib.h>
#include <unistd.h>

static void serve(modbus_t *context, modbus_mapping_t *map) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    int length;
    while ((length = modbus_receive(context, query)) >= 0)
        if (length > 0)
            modbus_reply(context, query, length, map);
}

int main(int argc, char **argv) {
    const char *place = argc > 1 ? argv[1] : "1502";
    int serial = place[0] == '/';
    modbus_t *context = serial ? modbus_new_rtu(place, 19200, 'N', 8, 1) : modbus_new_tcp("127.0.0.1", atoi(place));
    modbus_mapping_t *map = modbus_mapping_new(32, 32, 200, 200);
    const uint16_t registers[] = {0x42F6, 0xE979, 0xE979, 0x42F6, 0xF642, 0x79E9, 0x79E9, 0xF642, 0xFB2E,
                                  0x3FF0, 0x0000, 0x0000, 0x0000, 0x474C, 0x4153};
    for (unsigned at = 0; at < sizeof registers / sizeof *registers; at++)
        map->tab_input_registers[at] = registers[at];
    map->tab_bits[3] = 1;
    map->tab_input_bits[9] = 1;
    modbus_set_slave(context, 1);
    if (serial && modbus_connect(context) == 0)
        serve(context, map);
    int listener = serial ? -1 : modbus_tcp_listen(context, 1);
    while (listener >= 0 && modbus_tcp_accept(context, &listener) >= 0) {
        serve(context, map);
        modbus_close(context);
    }
    return 1;
}
