/* A libamd_smi.so for tests: AMD's own Python bindings (amdsmi) load it in the place of ROCm's. They look up every function when they
   are imported; amd.py writes those that are not here, as functions that are not supported (STUBS), from the bindings themselves.

   FAKE_AMDSMI_UUIDS="GPU-0a,GPU-1b" in the environment are its GPUs; without it there is no driver. Odd ones are the second halves
   of cards of two: they tell neither power nor energy. FAKE_AMDSMI_FAIL="amdsmi_get_gpu_activity=12" lets a function fail. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 2, DRIVER_NOT_LOADED = 34 };
typedef struct { char uuid[64]; unsigned number; uint64_t energy; } gpu;
/* As the bindings lay them out. */
typedef struct { uint32_t render, card, hsa, hip; char uuid[256]; } enumeration;
typedef struct { uint64_t socket; uint32_t current, average; uint64_t rest[22]; } power;
static gpu gpus[16];
static unsigned count;

static int failing(const char *function) {
    const char *said = getenv("FAKE_AMDSMI_FAIL");
    size_t length = strlen(function);
    return said && !strncmp(said, function, length) && said[length] == '=' ? atoi(said + length + 1) : SUCCESS;
}
#define MAY_FAIL int code = failing(__func__); if (code) return code

int amdsmi_init(uint64_t flags) {
    (void)flags;
    const char *said = getenv("FAKE_AMDSMI_UUIDS");
    if (!said) return DRIVER_NOT_LOADED;
    for (count = 0; *said && count < 16; count++) {
        size_t length = strcspn(said, ",");
        snprintf(gpus[count].uuid, sizeof gpus[count].uuid, "%.*s", (int)length, said);
        gpus[count].number = count;
        said += length + (said[length] == ',');
    }
    return SUCCESS;
}
int amdsmi_shut_down(void) { return SUCCESS; }

int amdsmi_get_socket_handles(uint32_t *number, void **sockets) {
    *number = 1;
    if (sockets) sockets[0] = &count;
    return SUCCESS;
}
int amdsmi_get_processor_handles(void *socket, uint32_t *number, void **processors) {
    (void)socket;
    *number = count;
    for (unsigned i = 0; processors && i < count; i++) processors[i] = &gpus[count - 1 - i]; /* not in HIP's order */
    return SUCCESS;
}
int amdsmi_get_gpu_enumeration_info(gpu *of, enumeration *info) {
    memset(info, 0, sizeof *info);
    info->hip = of->number;
    strcpy(info->uuid, of->uuid);
    return SUCCESS;
}
int amdsmi_get_gpu_asic_info(gpu *of, char *info) { /* market_name is its first member, asic_serial its seventh */
    (void)of;
    MAY_FAIL;
    memset(info, 0, 896);
    strcpy(info, "Emulated Instinct");
    strcpy(info + 256 + 4 + 256 + 4 + 8 + 4, "1A");
    return SUCCESS;
}
int amdsmi_get_gpu_activity(gpu *of, uint32_t *usage) {
    MAY_FAIL;
    usage[0] = 90 + of->number;
    usage[1] = 40;
    usage[2] = 0xFFFF;
    return SUCCESS;
}
int amdsmi_get_gpu_memory_usage(gpu *of, int kind, uint64_t *used) {
    (void)of;
    *used = kind == 0 ? 7ull << 30 : 1;
    return SUCCESS;
}
int amdsmi_get_power_info(gpu *of, power *info) {
    memset(info, 0, sizeof *info);
    info->current = 0xFFFF; /* what an MI250X says */
    info->average = of->number % 2 ? 0 : 420;
    return SUCCESS;
}
int amdsmi_get_energy_count(gpu *of, uint64_t *counted, float *resolution, uint64_t *time) {
    MAY_FAIL;
    *counted = of->number % 2 ? 0 : (of->energy += 1000000);
    *resolution = 15.3f;
    *time = 0;
    return SUCCESS;
}
int amdsmi_get_temp_metric(gpu *of, int sensor, int metric, int64_t *temperature) {
    (void)of, (void)metric;
    *temperature = sensor == 1 ? 66 : 71000;
    return SUCCESS;
}
int amdsmi_get_clock_info(gpu *of, int kind, uint32_t *info) {
    (void)of;
    info[0] = kind == 0 ? 1700 : 1600; /* GFX or MEM */
    return kind == 0 || kind == 4 ? SUCCESS : NOT_SUPPORTED;
}
#define STUB(name) int name(void) { return NOT_SUPPORTED; }
STUBS
