/* NVML of two boards, as far as the sidecar asks: built by the tests as libnvidia-ml.so.1.
 *
 * Board 0 offers everything. Board 1 lacks instantaneous power by field value, temperature and the energy counter.
 * FAKE_NVML_LOST_AFTER=N: from the N-th reading of its energy counter on, board 0 is lost.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, LOST = 15 };

typedef struct {
    uint32_t field_id, scope_id;
    int64_t timestamp, latency_us;
    int value_type, nvml_return;
    union { double d; unsigned int ui; unsigned long long ull; } value;
} field_value;

static const char *UUIDS[] = {"GPU-00000000-aaaa", "GPU-11111111-bbbb"};
static char boards[2];
static int energy_reads, lost;

static int number(void *device) { return (int)((char *)device - boards); }

int nvmlInitWithFlags(unsigned flags) { (void)flags; return OK; }
int nvmlInit_v2(void) { return OK; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == LOST ? "GPU is lost" : "an error"; }
int nvmlSystemGetDriverVersion(char *out, unsigned n) { strncpy(out, "999.1", n); return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out) {
    if (index > 1) return INVALID;
    *out = &boards[index];
    return OK;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **out) {
    for (int i = 0; i < 2; i++)
        if (!strcmp(uuid, UUIDS[i])) { *out = &boards[i]; return OK; }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(void *d, char *out, unsigned n) { strncpy(out, UUIDS[number(d)], n); return OK; }
int nvmlDeviceGetName(void *d, char *out, unsigned n) {
    strncpy(out, number(d) ? "Board B" : "Board A", n);
    return OK;
}

int nvmlDeviceGetFieldValues(void *d, int count, field_value *values) {
    for (int i = 0; i < count; i++) {
        int instant = values[i].field_id == 186;
        values[i].nvml_return = instant && number(d) == 1 ? NOT_SUPPORTED : OK;
        values[i].value.ui = instant ? 300500 : 250250 + 1000 * number(d);
    }
    return OK;
}

int nvmlDeviceGetTotalEnergyConsumption(void *d, unsigned long long *out) {
    const char *after = getenv("FAKE_NVML_LOST_AFTER");
    if (number(d) == 1) return NOT_SUPPORTED;
    if (after && energy_reads >= atoi(after)) lost = 1;
    if (lost) return LOST;
    *out = 5000000000ULL + 1500ULL * energy_reads++;
    return OK;
}

int nvmlDeviceGetPowerUsage(void *d, unsigned *out) { (void)d; *out = 1; return OK; }
int nvmlDeviceGetTemperature(void *d, int sensor, unsigned *out) {
    (void)sensor;
    *out = 61;
    return number(d) ? NOT_SUPPORTED : OK;
}
int nvmlDeviceGetClockInfo(void *d, int clock, unsigned *out) { (void)d; *out = clock == 1 ? 1980 : 2619; return OK; }
int nvmlDeviceGetUtilizationRates(void *d, unsigned *out) { (void)d; out[0] = 87; out[1] = 5; return OK; }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *d, unsigned long long *out) { (void)d; *out = 0x24; return OK; }
