"""The lab contract: what `lab.yaml` may say, how it is read, and how people are told what is wrong."""
