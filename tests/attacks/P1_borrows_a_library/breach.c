#include <dlfcn.h>
#include <stddef.h>

static int breach(void)
{
    static const char *const libraries[] = {"libscipy_openblas.so", "libopenblas.so.0", "libopenblas.so", "libblas.so.3",
                                            "libcblas.so.3", "libmkl_rt.so.2", "libmkl_rt.so", "libblis.so.4",
                                            "libgslcblas.so.0", "libatlas.so.3", "libcublas.so.12", "libcublas.so.13"};
    static const char *const names[] = {"cblas_sgemm", "scipy_cblas_sgemm", "cblas_sgemm64_", "sgemm_", "cublasSgemm_v2"};
    for (size_t i = 0; i <= sizeof libraries / sizeof *libraries; i++) {
        void *handle = dlopen(i == 0 ? NULL : libraries[i - 1], RTLD_LAZY | RTLD_GLOBAL);
        for (size_t j = 0; handle != NULL && j < sizeof names / sizeof *names; j++)
            if (dlsym(handle, names[j]) != NULL)
                return 1;
    }
    return 0;
}
