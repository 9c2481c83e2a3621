open("@CANARY@", "w").write("owned")
