/* Staff code of the "faults" build: system calls that fail on demand, and files that end at a closed page. */
#ifndef FAULTS_H
#define FAULTS_H

void faults_fail(int call, long nth, int error);
long faults_wrong_unmaps(void);

#endif
