/* libnvidia-ml.so.1 of a machine whose boards are only said to be there: what vLLM and starwatt ask before anything
 * computes. REHEARSED_CAPABILITY (9.0), REHEARSED_BOARDS (1) and REHEARSED_CUDA (13000) say what they are.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 2, NOT_FOUND = 6 };
typedef void *board; /* its number plus one */
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;

static const char *said(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}
static unsigned boards(void) { return (unsigned)atoi(said("REHEARSED_BOARDS", "1")); }
static unsigned number(board b) { return (unsigned)(uintptr_t)b - 1; }

int nvmlInit_v2(void) { return OK; }
int nvmlInitWithFlags(unsigned flags) { (void)flags; return OK; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == OK ? "Success" : "Error"; }
int nvmlSystemGetDriverVersion(char *to, unsigned size) { snprintf(to, size, "580.95.05"); return OK; }
int nvmlSystemGetNVMLVersion(char *to, unsigned size) { snprintf(to, size, "13.580.95.05"); return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *to) { *to = atoi(said("REHEARSED_CUDA", "13000")); return OK; }
int nvmlSystemGetCudaDriverVersion(int *to) { return nvmlSystemGetCudaDriverVersion_v2(to); }
int nvmlDeviceGetCount_v2(unsigned *to) { *to = boards(); return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, board *to) {
    if (index >= boards()) return INVALID;
    *to = (board)(uintptr_t)(index + 1);
    return OK;
}
int nvmlDeviceGetUUID(board b, char *to, unsigned size) {
    snprintf(to, size, "GPU-00000000-0000-4000-8000-%012u", number(b));
    return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, board *to) {
    char own[96];
    for (unsigned index = 0; index < boards(); index++) {
        *to = (board)(uintptr_t)(index + 1);
        nvmlDeviceGetUUID(*to, own, sizeof own);
        if (!strcmp(own, uuid)) return OK;
    }
    return NOT_FOUND;
}
int nvmlDeviceGetIndex(board b, unsigned *to) { *to = number(b); return OK; }
int nvmlDeviceGetName(board b, char *to, unsigned size) {
    (void)b;
    snprintf(to, size, "board of capability %s", said("REHEARSED_CAPABILITY", "9.0"));
    return OK;
}
int nvmlDeviceGetCudaComputeCapability(board b, int *major, int *minor) {
    (void)b;
    return sscanf(said("REHEARSED_CAPABILITY", "9.0"), "%d.%d", major, minor) == 2 ? OK : INVALID;
}
int nvmlDeviceGetMemoryInfo(board b, memory *to) {
    (void)b;
    *to = (memory){80ULL << 30, 79ULL << 30, 1ULL << 30};
    return OK;
}
int nvmlDeviceGetMemoryInfo_v2(board b, memory_v2 *to) {
    (void)b;
    *to = (memory_v2){to->version, 80ULL << 30, 0, 79ULL << 30, 1ULL << 30};
    return OK;
}
int nvmlDeviceGetP2PStatus(board one, board other, int index, int *to) {
    (void)one; (void)other; (void)index;
    *to = 0;
    return OK;
}
int nvmlDeviceGetNumaNodeId(board b, unsigned *to) { (void)b; *to = 0; return OK; }
int nvmlDeviceGetComputeRunningProcesses_v3(board b, unsigned *count, void *to) { (void)b; (void)to; *count = 0; return OK; }
int nvmlDeviceGetGraphicsRunningProcesses_v3(board b, unsigned *count, void *to) { (void)b; (void)to; *count = 0; return OK; }
