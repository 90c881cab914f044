import TestKit
import Testing

@testable import HTTP

/// Who gets a server's connections. The assumption that failed: that a connection which is open is one that is used.
@Suite struct ConnectionBudgetTests {
  private func budget(total: Int = 160, strangers: Int = 80) -> ConnectionBudget {
    ConnectionBudget(limits: ConnectionBudget.Limits(total: total, strangers: strangers))
  }

  private func admitted(_ admission: ConnectionBudget.Admission) -> (id: ConnectionBudget.ID, closing: UInt64?)? {
    guard case .admitted(let id, let closing) = admission else { return nil }
    return (id, closing)
  }

  @Test func limitsAddUpToTheTotal() {
    let limits = ConnectionBudget.Limits(total: 4096, strangers: 512)
    #expect(limits.strangersMax + limits.knownMax + limits.keptMax == 4096)
    #expect(limits.addressMax == 128 && limits.strangersBusyMax == 384 && limits.addressBusyMax == 96)
    let tiny = ConnectionBudget.Limits(total: 1, strangers: 0)
    #expect(tiny.strangersMax == 1 && tiny.strangersBusyMax == 1 && tiny.knownMax == 1 && tiny.keptMax == 0)
  }

  @Test func oneAddressTurnsOverItsOwn() {
    var budget = budget()
    let other = admitted(budget.opened(from: "b"))
    var ids: [UInt64] = []
    for _ in 0..<budget.limits.addressMax { ids.append(admitted(budget.opened(from: "a"))?.id ?? 0) }
    #expect(admitted(budget.opened(from: "a"))?.closing == ids[0])
    #expect(admitted(budget.opened(from: "a"))?.closing == ids[1])
    #expect(other != nil && budget.strangers == budget.limits.addressMax + 1)
  }

  @Test func aNewcomerTakesFromWhoHasMost() throws {
    var budget = budget()
    var first: [String: UInt64] = [:]
    for address in ["a", "b"] {
      for index in 0..<(address == "a" ? 32 : 30) {
        let id = try #require(admitted(budget.opened(from: address))).id
        if index == 0 { first[address] = id }
      }
    }
    for _ in 0..<18 { _ = budget.opened(from: "c") }
    #expect(budget.strangers == budget.limits.strangersMax)
    let newcomer = try #require(admitted(budget.opened(from: "d")))
    #expect(newcomer.closing == first["a"])
    #expect(budget.strangers == budget.limits.strangersMax)
  }

  @Test func administratorsGetInWhileStrangersAndUsersHoldAllOfTheirs() throws {
    var budget = budget()
    let eve = ConnectionBudget.User(name: "eve", isPrivileged: false)
    var users = 0
    // Eve has many names, and fills what users have.
    for index in 0..<200 {
      guard case .admitted(let id, _) = budget.opened(from: "e\(index)") else { continue }
      let user = index % 2 == 0 ? eve : ConnectionBudget.User(name: "eve \(index)", isPrivileged: false)
      if budget.signedIn(id, as: user) { users += 1 } else { budget.closed(id) }
    }
    #expect(users == budget.limits.knownMax)
    for index in 0..<500 { _ = budget.opened(from: "x\(index % 7)") }
    #expect(budget.strangers == budget.limits.strangersMax)
    let admin = ConnectionBudget.User(name: "admin", isPrivileged: true)
    for _ in 0..<budget.limits.keptMax {
      let id = try #require(admitted(budget.opened(from: "x1"))).id
      let isIn = budget.signedIn(id, as: admin)
      #expect(isIn)
    }
    let late = try #require(admitted(budget.opened(from: "x1"))).id
    let isLateIn = budget.signedIn(late, as: admin)
    #expect(!isLateIn)
  }

  @Test func oneUserDoesNotGetEverything() {
    var budget = budget()
    let eve = ConnectionBudget.User(name: "eve", isPrivileged: false)
    var had = 0
    for _ in 0..<100 {
      guard case .admitted(let id, _) = budget.opened(from: "a") else { continue }
      if budget.signedIn(id, as: eve) { had += 1 } else { budget.closed(id) }
    }
    #expect(had == budget.limits.userMax && had < budget.limits.knownMax)
  }

  /// Requests under way are not cut off, so they must not be able to take every place.
  @Test func requestsOfStrangersLeavePlacesForSigningIn() throws {
    var budget = budget()
    var busy = 0
    for _ in 0..<budget.limits.addressMax {
      let id = try #require(admitted(budget.opened(from: "a"))).id
      if budget.requestBegan(id) { busy += 1 }
    }
    #expect(busy == budget.limits.addressBusyMax)
    let newcomer = try #require(admitted(budget.opened(from: "a")))
    #expect(newcomer.closing != nil)
    #expect(budget.strangersBusy == busy)
  }

  @Test func whoWaitsAnewIsTheYoungest() throws {
    var budget = budget()
    var ids: [UInt64] = []
    for _ in 0..<budget.limits.addressMax { ids.append(try #require(admitted(budget.opened(from: "a"))).id) }
    let hasBegun = budget.requestBegan(ids[0])
    #expect(hasBegun)
    budget.requestEnded(ids[0])
    #expect(admitted(budget.opened(from: "a"))?.closing == ids[1])
  }

  @Test func anotherUserOnTheSameConnection() throws {
    var budget = budget()
    let id = try #require(admitted(budget.opened(from: "a"))).id
    for name in ["a", "b", "a"] {
      let isIn = budget.signedIn(id, as: ConnectionBudget.User(name: name, isPrivileged: false))
      #expect(isIn)
      #expect(budget.known == 1 && budget.strangers == 0)
    }
    let isRootIn = budget.signedIn(id, as: ConnectionBudget.User(name: "root", isPrivileged: true))
    #expect(isRootIn)
    #expect(budget.known == 0 && budget.privileged == 1)
    budget.closed(id)
    budget.closed(id)
    #expect(budget.count == 0 && budget.privileged == 0)
  }

  @Test func networksOfIPv6AreOneHolder() {
    #expect(ConnectionBudget.holder("2001:db8::1") == ConnectionBudget.holder("2001:db8::ffff:2"))
    #expect(ConnectionBudget.holder("2001:db8::1") != ConnectionBudget.holder("2001:db8:0:1::1"))
    #expect(ConnectionBudget.holder("::ffff:10.0.0.1") == "10.0.0.1")
    #expect(ConnectionBudget.holder("10.0.0.1") == "10.0.0.1")
    #expect(ConnectionBudget.holder("") == "")
  }

  /// Whatever happens in whatever order, no limit is passed and nothing is left behind.
  @Test(arguments: 0..<8) func anyOrder(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var budget = budget(total: 200, strangers: 100)
    var open: [UInt64] = []
    for _ in 0..<20_000 {
      let id = open.randomElement(using: &random) ?? 0
      switch UInt64.random(in: 0..<6, using: &random) {
      case 0, 1:
        if case .admitted(let id, let closing) = budget.opened(from: "a\(UInt64.random(in: 0..<9, using: &random))") {
          open.append(id)
          if let closing { open.removeAll { $0 == closing } }
        }
      case 2: _ = budget.requestBegan(id)
      case 3: budget.requestEnded(id)
      case 4:
        let name = "u\(UInt64.random(in: 0..<5, using: &random))"
        _ = budget.signedIn(id, as: ConnectionBudget.User(name: name, isPrivileged: name == "u0"))
      default:
        budget.closed(id)
        open.removeAll { $0 == id }
      }
      #expect(budget.count == open.count)
      #expect(budget.strangers + budget.known + budget.privileged == budget.count)
      #expect(budget.strangers <= budget.limits.strangersMax && budget.strangersBusy <= budget.limits.strangersBusyMax)
      #expect(budget.known <= budget.limits.knownMax)
      #expect(budget.known + budget.privileged <= budget.limits.knownMax + budget.limits.keptMax)
    }
    for id in open { budget.closed(id) }
    #expect(budget.count == 0 && budget.strangers == 0 && budget.strangersBusy == 0 && budget.known == 0)
  }
}

@Suite struct SharedBudgetTests {
  private var budget = SharedBudget(limits: SharedBudget.Limits(total: 100, share: 40, kept: 20))

  @Test mutating func nobodyGetsEverything() {
    let (a, more, b, c) = (
      budget.take(40, for: "a"), budget.take(1, for: "a"), budget.take(40, for: "b"), budget.take(1, for: "c")
    )
    #expect(a && !more && b && !c, "a share each, and what is kept stays")
    #expect(budget.used == 80 && budget.held(by: "a") == 40)
    let kept = budget.take(20, for: "admin", isPrivileged: true)
    let beyond = budget.take(1, for: "admin", isPrivileged: true)
    #expect(kept && !beyond)
    budget.giveBack(40, of: "a")
    let again = budget.take(10, for: "c")
    #expect(again && budget.used == 70 && budget.held(by: "a") == 0)
  }

  @Test mutating func whatIsMoreThanAShareGetsItsTurn() {
    let large = budget.take(70, for: "a")
    #expect(large)
    budget.giveBack(70, of: "a")
    let tooLarge = budget.take(81, for: "a")
    #expect(!tooLarge && budget.used == 0)
    let nothing = budget.take(0, for: "a")
    #expect(nothing)
  }
}

/// A model in which everybody's part is counted by hand.
@Suite struct SharedBudgetModelTests {
  @Test(arguments: 0..<10 as Range<UInt64>) func anyOrder(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let limits = SharedBudget.Limits(total: 1000, share: 300, kept: 200)
    var budget = SharedBudget(limits: limits)
    var taken: [(holder: String, amount: Int)] = []
    for _ in 0..<3000 {
      let holder = "h\(Int.random(in: 0..<6, using: &random))"
      if !taken.isEmpty, Bool.random(using: &random) {
        let (holder, amount) = taken.remove(at: Int.random(in: 0..<taken.count, using: &random))
        budget.giveBack(amount, of: holder)
      } else {
        let amount = Int.random(in: 0...400, using: &random)
        let isPrivileged = holder == "h0"
        let used = taken.reduce(0) { $0 + $1.amount }
        let mine = taken.filter { $0.holder == holder }.reduce(0) { $0 + $1.amount }
        let expected =
          isPrivileged
          ? used + amount <= 1000 : used + amount <= 800 && (mine + amount <= 300 || mine == 0)
        let isGiven = budget.take(amount, for: holder, isPrivileged: isPrivileged)
        #expect(isGiven == expected, "\(holder) \(amount) of \(used), has \(mine)")
        if isGiven { taken.append((holder, amount)) }
      }
      #expect(budget.used == taken.reduce(0) { $0 + $1.amount })
      for number in 0..<6 {
        #expect(
          budget.held(by: "h\(number)") == taken.filter { $0.holder == "h\(number)" }.reduce(0) { $0 + $1.amount })
      }
    }
  }

  /// Amounts come from outside, such as a body's announced length.
  @Test(arguments: [Int.max, .max - 1, 1 << 62]) func anAmountBeyondAllBoundsIsRefused(amount: Int) {
    var budget = SharedBudget(limits: SharedBudget.Limits(total: 100, share: 40, kept: 20))
    let first = budget.take(10, for: "a")
    for isPrivileged in [false, true] {
      let (mine, other) = (
        budget.take(amount, for: "a", isPrivileged: isPrivileged),
        budget.take(amount, for: "b", isPrivileged: isPrivileged)
      )
      #expect(!mine && !other)
    }
    #expect(first && budget.used == 10)
  }
}
