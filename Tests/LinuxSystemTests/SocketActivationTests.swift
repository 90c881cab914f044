import Testing

@testable import LinuxSystem

@Suite struct SocketActivationTests {
  /// What the variables say to the process 7.
  private func names(_ process: String?, _ count: String?, _ names: String?) throws(SystemError) -> [String] {
    var environment: [String: String] = [:]
    environment["LISTEN_PID"] = process
    environment["LISTEN_FDS"] = count
    environment["LISTEN_FDNAMES"] = names
    return try SocketActivation(environment: environment, processID: 7).names
  }

  private func refusal(_ process: String?, _ count: String?, _ list: String?) -> String? {
    do throws(SystemError) {
      _ = try names(process, count, list)
      return nil
    } catch { return error.description }
  }

  @Test func namesAreInTheOrderOfTheDescriptors() throws {
    #expect(try names("7", "1", "api") == ["api"])
    #expect(try names("7", "2", "registry:api") == ["registry", "api"])
    let most = (0..<SocketActivation.countMax).map { "\($0)" }
    #expect(try names("7", "\(most.count)", most.joined(separator: ":")) == most)
  }

  @Test func nothingIsForThisProcess() throws {
    #expect(try names(nil, nil, nil) == [])
    #expect(try names("7", nil, "api") == [])
    #expect(try names(nil, "1", "api") == [])
    // Passed on by a process that did not take them: whatever they say, it was said to that one.
    #expect(try names("8", "1", "api") == [])
    #expect(try names("8", "many", "::") == [])
  }

  @Test(arguments: ["", "0", "-7", "+", "7 ", "seven", "99999999999"]) func whoseTheyAreMustBeKnown(_ process: String) {
    #expect(refusal(process, "1", "api")?.contains("LISTEN_PID is no process: '\(process)'") == true)
  }

  @Test(arguments: ["", "0", "-1", "1.0", "one", "65", "2147483648", "99999999999999999999"])
  func theNumberIsBounded(_ count: String) {
    #expect(refusal("7", count, "api")?.contains("LISTEN_FDS is not a number from 1 to 64: '\(count)'") == true)
  }

  @Test func eachHasANameOfItsOwn() {
    #expect(refusal("7", "1", nil)?.contains("LISTEN_FDNAMES does not say") == true)
    #expect(refusal("7", "1", "api:registry")?.contains("2 names, and LISTEN_FDS says 1") == true)
    #expect(refusal("7", "3", "api:registry")?.contains("2 names, and LISTEN_FDS says 3") == true)
    #expect(refusal("7", "2", "api:api")?.contains("two of LISTEN_FDNAMES are 'api'") == true)
    for name in ["", "a b", "\u{1B}[31m", "é", String(repeating: "a", count: 256)] {
      #expect(refusal("7", "2", "api:\(name)")?.contains("a name of LISTEN_FDNAMES is empty, too long") == true)
    }
    #expect(refusal("7", "1", String(repeating: "a", count: 255)) == nil)
  }
}
