import Glibc
import Testing

@testable import Store

@Suite struct LeadershipTests {
  @Test func nobodyLeadsAsLongAsItsLease() {
    #expect(EtcdSession.validity(.seconds(10)) == .seconds(9))
    #expect(EtcdSession.validity(.seconds(3)) == .milliseconds(2500))
    #expect(EtcdSession.validity(.seconds(600)) == .seconds(540))
  }

  @Test func timeIsExtendedAndGivenBack() {
    let leadership = Leadership(place: "etcd", until: Leadership.now() + 3_600_000_000_000) { fatalError($0) }
    leadership.check()
    #expect(leadership.left > .seconds(3000))
    leadership.extend(until: Leadership.now() + 7_200_000_000_000)
    #expect(leadership.left > .seconds(7000))
    leadership.giveBack()
    leadership.check()
  }

  @Test func timeThatIsOverEndsTheProcess() async {
    await #expect(processExitsWith: .exitCode(7)) {
      Leadership(place: "etcd", until: 0) { _ in exit(7) }.check()
    }
    await #expect(processExitsWith: .exitCode(7)) {
      Leadership(place: "etcd", until: 0) { _ in exit(7) }.extend(until: .max)
    }
  }
}
