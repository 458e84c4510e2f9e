/* libamd_smi.so of boards that a file describes, one a line, read again at every call:
   bdf serves power? current average energy resolution_uj temperature clock cap uuid serial
   A power of 65535 or 4294967295 is what drivers say where a board has none. What else the library has is in stubs.h,
   and says that it is not supported. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUCCESS 0
#define NOT_SUPPORTED 2
#define NOT_FOUND 31
#define DRIVER_NOT_LOADED 34
#define MOST 16
#define SERIAL_AT (256 + 4 + 256 + 4 + 8 + 4) /* behind names and numbers of maker and device */

typedef struct {
    unsigned long bdf, status, current, average;
    unsigned long long energy;
    float resolution;
    long temperature;
    unsigned long clock;
    unsigned long long cap;
    char uuid[64], serial[64];
} Board;

static int boards(Board *all) {
    const char *path = getenv("FAKE_AMD_BOARDS");
    FILE *file = path ? fopen(path, "r") : NULL;
    int count = 0;
    if (!file) return -1;
    while (count < MOST) {
        Board *b = &all[count];
        if (fscanf(file, "%lx %lu %lu %lu %llu %f %ld %lu %llu %63s %63s", &b->bdf, &b->status, &b->current, &b->average,
                   &b->energy, &b->resolution, &b->temperature, &b->clock, &b->cap, b->uuid, b->serial) != 11) break;
        count++;
    }
    fclose(file);
    return count;
}

static int board(void *handle, Board *found) {
    Board all[MOST];
    intptr_t number = (intptr_t)handle - 1;
    if (number >= boards(all) || number < 0) return NOT_FOUND;
    *found = all[number];
    return (int)found->status;
}

int amdsmi_init(uint64_t flags) { Board all[MOST]; (void)flags; return boards(all) < 0 ? DRIVER_NOT_LOADED : SUCCESS; }
int amdsmi_shut_down(void) { return SUCCESS; }

int amdsmi_get_socket_handles(uint32_t *count, void **handles) {
    *count = 1;
    if (handles) handles[0] = (void *)1;
    return SUCCESS;
}

int amdsmi_get_processor_handles(void *socket, uint32_t *count, void **handles) {
    Board all[MOST];
    (void)socket;
    *count = (uint32_t)boards(all);
    for (uint32_t k = 0; handles && k < *count; k++) handles[k] = (void *)(intptr_t)(k + 1);
    return SUCCESS;
}

int amdsmi_get_gpu_device_bdf(void *handle, uint64_t *bdf) { Board b; board(handle, &b); *bdf = b.bdf; return SUCCESS; }

int amdsmi_get_gpu_device_uuid(void *handle, uint32_t *length, char *uuid) {
    Board b;
    board(handle, &b);
    *length = (uint32_t)snprintf(uuid, *length, "%s", b.uuid);
    return SUCCESS;
}

int amdsmi_get_gpu_asic_info(void *handle, char *info) {
    Board b;
    board(handle, &b);
    memset(info, 0, SERIAL_AT + 256);
    strcpy(info, "AMD Instinct MI300X");
    strcpy(info + SERIAL_AT, b.serial);
    return SUCCESS;
}

typedef struct { uint64_t socket; uint32_t current, average; uint64_t volts[3]; uint32_t limit, pad; uint64_t more[18]; } Power;

int amdsmi_get_power_info(void *handle, Power *power) {
    Board b;
    int status = board(handle, &b);
    if (status) return status;
    memset(power, 0xff, sizeof *power);
    power->socket = b.current != 65535 ? b.current : b.average;
    power->current = (uint32_t)b.current;
    power->average = (uint32_t)b.average;
    return SUCCESS;
}

int amdsmi_get_energy_count(void *handle, uint64_t *count, float *resolution, uint64_t *t_ns) {
    Board b;
    int status = board(handle, &b);
    if (status) return status;
    *count = b.energy;
    *resolution = b.resolution;
    *t_ns = 0;
    return SUCCESS;
}

int amdsmi_get_temp_metric(void *handle, int type, int metric, int64_t *value) {
    Board b;
    int status = board(handle, &b);
    (void)metric;
    if (status) return status;
    if (type == 0) return NOT_SUPPORTED; /* no edge sensor, as on Instinct boards */
    *value = b.temperature;
    return SUCCESS;
}

typedef struct { uint32_t clk, min, max; unsigned char locked, sleeps, pad[2]; uint32_t more[4]; } Clock;

int amdsmi_get_clock_info(void *handle, int type, Clock *clock) {
    Board b;
    int status = board(handle, &b);
    (void)type;
    if (status) return status;
    memset(clock, 0, sizeof *clock);
    clock->clk = (uint32_t)b.clock;
    return SUCCESS;
}

int amdsmi_get_power_cap_info(void *handle, uint32_t sensor, uint64_t *cap) {
    Board b;
    int status = board(handle, &b);
    (void)sensor;
    if (status) return status;
    memset(cap, 0, 8 * sizeof *cap);
    cap[0] = b.cap;
    return SUCCESS;
}

int amdsmi_get_gpu_activity(void *handle, uint32_t *usage) {
    Board b;
    int status = board(handle, &b);
    if (status) return status;
    memset(usage, 0, 16 * sizeof *usage);
    usage[0] = 75;
    return SUCCESS;
}

#include "stubs.h"
