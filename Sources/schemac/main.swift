print("schemac")
