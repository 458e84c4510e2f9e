/* libnvidia-ml.so.1 of simulated boards, compiled by the tests.
 *
 * The file that GOLDEN_NVML names holds struct world (world.py has the same layout): what boards are, how their
 * sensors behave, and the power that a simulated engine draws, as segments that it appends in real time
 * (CLOCK_MONOTONIC). A segment's power holds until the next. Nothing is drawn at random and nothing is kept here but
 * the mapping, so every process that loads the library sees the same boards.
 */
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BOARDS = 8, SEGMENTS = 65536, FAULTS = 8, PROCESSES = 16 };
enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, TOO_SMALL = 7,
       NO_DRIVER = 9, LOST = 15, RESET_REQUIRED = 16 };
enum { INSTANT = 1, AVERAGE = 2, COUNTER = 4, COUNTER_OF_SENSOR = 8, TEMPERATURE = 16, MODULE = 32, MIG = 64,
       HIDES_PROCESSES = 128, POWERLESS = 256, FIXED_LIMIT = 512, FIXED_CLOCK = 1024, REFUSES_LOCKS = 2048 };
/* What a fault strikes: */
enum { ANY, INIT, FIELDS, POWER, ENERGY, CLOCKS, PROCESS_LIST, HANDLE, COUNT, EACH_FIELD, NAME, SET, LIMIT };

struct fault { int64_t from_ns, until_ns; int32_t call, board, code; int32_t after_calls, until_calls; double sleep_s; };
struct board {
    char uuid[96], name[64];
    int32_t flags, processes;
    uint32_t pids[PROCESSES];
    double update_s, window_s, average_s, lag_s, step_s, gain, module_w;
    int64_t phase_ns, counter_phase_ns, counter_zero_ns;
    uint64_t throttle;
    double limit_w, temperature_c, sm_mhz, mem_mhz, utilization;
    /* What can be set: the limit is shown slow_s after it was set, and never above that of the BMC, where there is one. */
    double default_w, least_w, most_w, bmc_w, before_w, slow_s;
    int64_t set_ns;
    int32_t locked_mhz, sets; /* 0: not locked; how often anything was set */
    _Atomic int64_t count;
    int64_t t_ns[SEGMENTS];
    double power_w[SEGMENTS], used_j[SEGMENTS]; /* used_j: from the first segment to the start of this one */
};
struct world { int64_t boards; struct fault faults[FAULTS]; _Atomic int64_t calls[FAULTS]; struct board board[BOARDS]; };

typedef struct {
    uint32_t field_id, scope_id;
    int64_t timestamp, latency_us;
    int value_type, nvml_return;
    union { double d; unsigned int ui; unsigned long long ull; } value;
} field_value;
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } process_info;

static struct world *world;
static int users; /* nvmlInit less nvmlShutdown: at zero the next one maps the world anew */

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Joules of the board from its first segment to t. */
static double used_j(const struct board *b, int64_t t_ns) {
    int64_t low = 0, high = atomic_load(&((struct board *)b)->count) - 1;
    if (high < 0) return 0;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (b->t_ns[middle] <= t_ns) low = middle; else high = middle - 1;
    }
    return b->used_j[low] + b->power_w[low] * (double)(t_ns - b->t_ns[low]) * 1e-9;
}

static int64_t last_step(int64_t t_ns, double every_s, int64_t phase_ns) {
    int64_t every_ns = (int64_t)(every_s * 1e9);
    return every_ns > 0 ? t_ns - ((t_ns - phase_ns) % every_ns + every_ns) % every_ns : t_ns;
}

static double mean_w(const struct board *b, int64_t end_ns, double window_s) {
    int64_t begin_ns = end_ns - (int64_t)(window_s * 1e9);
    return (used_j(b, end_ns) - used_j(b, begin_ns)) / window_s;
}

/* What the sensor shows at t, in watts. */
static double shown_w(const struct board *b, int64_t t_ns, double window_s) {
    int64_t update_ns = last_step(t_ns, b->update_s, b->phase_ns);
    return b->gain * mean_w(b, update_ns - (int64_t)(b->lag_s * 1e9), window_s);
}

static double counter_j(const struct board *b, int64_t t_ns) {
    int64_t step_ns = last_step(t_ns, b->step_s, b->counter_phase_ns) - (int64_t)(b->lag_s * 1e9);
    int64_t start_ns = b->counter_zero_ns > b->t_ns[0] && t_ns >= b->counter_zero_ns ? b->counter_zero_ns : b->t_ns[0];
    double extra_j = b->flags & MODULE ? b->module_w * (double)(step_ns - start_ns) * 1e-9 : 0;
    if (step_ns <= start_ns) return 0;
    if (!(b->flags & COUNTER_OF_SENSOR)) return extra_j + b->gain * (used_j(b, step_ns) - used_j(b, start_ns));
    double sum_j = 0;
    for (int64_t t = last_step(start_ns, b->update_s, b->phase_ns); t < step_ns; t += (int64_t)(b->update_s * 1e9))
        sum_j += shown_w(b, t, b->window_s) * b->update_s;
    return extra_j + sum_j;
}

/* Sleeps and fails as the world says. */
static int struck(int call, int board) {
    if (!world) return UNINITIALIZED;
    for (int i = 0; i < FAULTS; i++) {
        struct fault *f = &world->faults[i];
        if (!f->code && f->sleep_s == 0) continue;
        if ((f->call != ANY && f->call != call) || (f->board >= 0 && board >= 0 && f->board != board)) continue;
        int64_t t_ns = now_ns();
        if (t_ns < f->from_ns || (f->until_ns && t_ns >= f->until_ns)) continue;
        int64_t earlier = atomic_fetch_add(&world->calls[i], 1);
        if (earlier < f->after_calls || (f->until_calls && earlier >= f->until_calls)) continue;
        if (f->sleep_s > 0) {
            struct timespec t = {(time_t)f->sleep_s, (long)((f->sleep_s - floor(f->sleep_s)) * 1e9)};
            nanosleep(&t, NULL);
        }
        if (f->code) return f->code;
    }
    return OK;
}

static int number(void *device) { return (int)((struct board *)device - world->board); }
#define CHECKED(call) struct board *b = device; int code = struck(call, number(device)); if (code) return code; (void)b

static int opened(void) {
    int code = struck(INIT, -1);
    if (!code) users++;
    return code;
}

static int start(void) {
    const char *path = getenv("GOLDEN_NVML");
    if (world && users) return opened();
    if (world) munmap(world, sizeof(struct world));
    world = NULL;
    int file = path ? open(path, O_RDWR) : -1;
    if (file < 0) return NO_DRIVER;
    void *at = mmap(NULL, sizeof(struct world), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (at == MAP_FAILED) return NO_DRIVER;
    world = at;
    return opened();
}

int nvmlInit_v2(void) { return start(); }
int nvmlInitWithFlags(unsigned flags) { (void)flags; return start(); }
int nvmlShutdown(void) {
    if (!users) return UNINITIALIZED;
    users--;
    return OK;
}
const char *nvmlErrorString(int code) {
    switch (code) {
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case NO_DRIVER: return "Driver Not Loaded";
    case LOST: return "GPU is lost";
    case RESET_REQUIRED: return "GPU requires reset";
    case INVALID: return "Invalid Argument";
    default: return "Unknown Error";
    }
}
static int put(char *out, unsigned n, const char *text) { strncpy(out, text, n); out[n - 1] = 0; return OK; }
int nvmlSystemGetDriverVersion(char *out, unsigned n) { return put(out, n, "999.1"); }
int nvmlSystemGetNVMLVersion(char *out, unsigned n) { return put(out, n, "99.999.1"); }
int nvmlSystemGetCudaDriverVersion_v2(int *out) { *out = 13000; return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) {
    int code = struck(COUNT, -1);
    *count = (unsigned)world->boards;
    return code;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **out) {
    if (index >= world->boards) return INVALID;
    *out = &world->board[index];
    return struck(HANDLE, (int)index);
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **out) {
    for (int i = 0; i < world->boards; i++)
        if (!strcmp(uuid, world->board[i].uuid)) { *out = &world->board[i]; return OK; }
    return NOT_FOUND;
}
int nvmlDeviceGetIndex(void *device, unsigned *out) { *out = (unsigned)number(device); return OK; }
int nvmlDeviceGetUUID(void *device, char *out, unsigned n) { return put(out, n, ((struct board *)device)->uuid); }
int nvmlDeviceGetName(void *device, char *out, unsigned n) {
    CHECKED(NAME);
    return put(out, n, b->name);
}

int nvmlDeviceGetFieldValues(void *device, int count, field_value *values) {
    CHECKED(FIELDS);
    int64_t t_ns = now_ns();
    for (int i = 0; i < count; i++) {
        int instant = values[i].field_id == 186, power = instant || values[i].field_id == 185;
        int offered = power && (b->flags & (instant ? INSTANT : AVERAGE));
        if (values[i].scope_id == 1 && !(b->flags & MODULE)) offered = 0;
        if (values[i].scope_id > 1) offered = 0;
        values[i].nvml_return = offered ? struck(EACH_FIELD, number(device)) : NOT_SUPPORTED;
        if (values[i].nvml_return) continue;
        double watts = shown_w(b, t_ns, instant ? b->window_s : b->average_s);
        if (values[i].scope_id == 1) watts += b->module_w;
        values[i].value_type = 1;
        values[i].value.ui = (unsigned)llround(watts * 1e3);
    }
    return OK;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *out) {
    CHECKED(POWER);
    if (b->flags & POWERLESS) return NOT_SUPPORTED;
    *out = (unsigned)llround(1e3 * shown_w(b, now_ns(), b->flags & AVERAGE ? b->average_s : b->window_s));
    return OK;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *out) {
    CHECKED(ENERGY);
    if (!(b->flags & COUNTER)) return NOT_SUPPORTED;
    *out = (unsigned long long)(5e6 + 1e3 * counter_j(b, now_ns()));
    return OK;
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *out) {
    CHECKED(ANY);
    (void)sensor;
    *out = (unsigned)b->temperature_c;
    return b->flags & TEMPERATURE ? OK : NOT_SUPPORTED;
}
typedef struct { unsigned version; int sensor, temperature; } temperature_v1;
int nvmlDeviceGetTemperatureV(void *device, temperature_v1 *out) {
    CHECKED(ANY);
    out->temperature = (int)b->temperature_c;
    return b->flags & TEMPERATURE ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetClockInfo(void *device, int clock, unsigned *out) {
    CHECKED(CLOCKS);
    double sm_mhz = b->locked_mhz && b->locked_mhz < b->sm_mhz ? b->locked_mhz : b->sm_mhz;
    *out = (unsigned)(clock == 1 ? sm_mhz : b->mem_mhz);
    return OK;
}
int nvmlDeviceGetMaxClockInfo(void *device, int clock, unsigned *out) {
    CHECKED(CLOCKS);
    *out = (unsigned)(clock == 1 ? b->sm_mhz : b->mem_mhz);
    return OK;
}
enum { CLOCK_STEP_MHZ = 15, LEAST_MHZ = 210 };
int nvmlDeviceGetSupportedMemoryClocks(void *device, unsigned *count, unsigned *out) {
    CHECKED(CLOCKS);
    if (b->flags & FIXED_CLOCK) return NOT_SUPPORTED;
    unsigned room = *count;
    *count = 1;
    if (!out || room < 1) return TOO_SMALL;
    out[0] = (unsigned)b->mem_mhz;
    return OK;
}
int nvmlDeviceGetSupportedGraphicsClocks(void *device, unsigned memory, unsigned *count, unsigned *out) {
    CHECKED(CLOCKS);
    if (b->flags & FIXED_CLOCK) return NOT_SUPPORTED;
    if (memory != (unsigned)b->mem_mhz) return INVALID;
    unsigned room = *count;
    *count = ((unsigned)b->sm_mhz - LEAST_MHZ) / CLOCK_STEP_MHZ + 1;
    if (!out || room < *count) return TOO_SMALL;
    for (unsigned i = 0; i < *count; i++) out[i] = (unsigned)b->sm_mhz - i * CLOCK_STEP_MHZ;
    return OK;
}
int nvmlDeviceSetGpuLockedClocks(void *device, unsigned least, unsigned most) {
    CHECKED(SET);
    if (b->flags & (FIXED_CLOCK | REFUSES_LOCKS)) return NOT_SUPPORTED;
    if (least > most) return INVALID;
    b->locked_mhz = (int32_t)most;
    b->sets++;
    return OK;
}
int nvmlDeviceResetGpuLockedClocks(void *device) {
    CHECKED(SET);
    if (b->flags & (FIXED_CLOCK | REFUSES_LOCKS)) return NOT_SUPPORTED;
    b->locked_mhz = 0;
    b->sets++;
    return OK;
}
int nvmlDeviceGetUtilizationRates(void *device, unsigned *out) {
    CHECKED(ANY);
    out[0] = (unsigned)lround(100 * b->utilization);
    out[1] = 5;
    return OK;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *out) {
    CHECKED(CLOCKS);
    *out = b->throttle;
    return OK;
}
int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *out) {
    return nvmlDeviceGetCurrentClocksThrottleReasons(device, out);
}
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *out) {
    CHECKED(ANY);
    double shown_w = now_ns() < b->set_ns + (int64_t)(b->slow_s * 1e9) ? b->before_w : b->limit_w;
    *out = (unsigned)lround(1e3 * (b->bmc_w > 0 && b->bmc_w < shown_w ? b->bmc_w : shown_w));
    return OK;
}
int nvmlDeviceGetPowerManagementLimit(void *device, unsigned *out) {
    CHECKED(LIMIT);
    *out = (unsigned)lround(1e3 * b->limit_w);
    return OK;
}
int nvmlDeviceGetPowerManagementDefaultLimit(void *device, unsigned *out) {
    CHECKED(ANY);
    *out = (unsigned)lround(1e3 * b->default_w);
    return OK;
}
int nvmlDeviceGetPowerManagementLimitConstraints(void *device, unsigned *low, unsigned *high) {
    CHECKED(ANY);
    if (b->flags & FIXED_LIMIT) return NOT_SUPPORTED;
    *low = (unsigned)lround(1e3 * b->least_w), *high = (unsigned)lround(1e3 * b->most_w);
    return OK;
}
int nvmlDeviceSetPowerManagementLimit(void *device, unsigned milliwatts) {
    CHECKED(SET);
    if (b->flags & FIXED_LIMIT) return NOT_SUPPORTED;
    if (milliwatts < 1e3 * b->least_w || milliwatts > 1e3 * b->most_w) return INVALID;
    b->before_w = b->limit_w;
    b->limit_w = milliwatts * 1e-3;
    b->set_ns = now_ns();
    b->sets++;
    return OK;
}
int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *out) {
    CHECKED(ANY);
    out[0] = 80ULL << 30, out[1] = 60ULL << 30, out[2] = 20ULL << 30;
    return OK;
}
int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    CHECKED(ANY);
    *current = *pending = !!(b->flags & MIG);
    return OK;
}
int nvmlDeviceGetPersistenceMode(void *device, unsigned *out) { CHECKED(ANY); *out = 1; return OK; }
int nvmlDeviceGetComputeMode(void *device, unsigned *out) { CHECKED(ANY); *out = 0; return OK; }
int nvmlDeviceGetArchitecture(void *device, unsigned *out) { CHECKED(ANY); *out = 9; return OK; }

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, process_info *out) {
    CHECKED(PROCESS_LIST);
    if (b->flags & HIDES_PROCESSES) { *count = 0; return OK; }
    unsigned room = *count;
    *count = (unsigned)b->processes;
    if (!b->processes) return OK;
    if (!out || room < *count) return TOO_SMALL;
    for (int i = 0; i < b->processes; i++) out[i] = (process_info){b->pids[i], 1ULL << 30, ~0u, ~0u};
    return OK;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, unsigned *count, process_info *out) {
    CHECKED(PROCESS_LIST);
    (void)out;
    *count = 0;
    return OK;
}
