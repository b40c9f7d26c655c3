/* The network: nothing of it was granted. */
#include "escape.h"
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

static struct sockaddr_in to(const char *host, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	inet_pton(AF_INET, host, &a.sin_addr);
	return a;
}
/* reach connects without waiting for ever, and reads what the canary says. */
static void reach(int s, struct sockaddr *a, socklen_t n, const char *what)
{
	if (s < 0) refused("socket");
	struct timeval tv = {1, 0};
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	TRY("connect", connect(s, a, n));
	if (readsfd(s)) escaped("%s answers", what);
	escaped("connected to %s", what);
}
static void tcp(const char *host, int port, int proto, const char *what)
{
	struct sockaddr_in a = to(host, port);
	reach(socket(AF_INET, SOCK_STREAM, proto), (void *)&a, sizeof a, what);
}
static void n_loopback(void) { tcp("127.0.0.1", number("port"), 0, "the host's loopback"); }
static void n_any(void) { tcp("0.0.0.0", number("port"), 0, "the host's loopback, as 0.0.0.0"); }
static void n_other(void) { tcp("127.1.2.3", number("port"), 0, "the host's loopback, as 127.1.2.3"); }
static void n_address(void) { tcp(given("address4"), number("port"), 0, "the host by its own address"); }
static void n_metadata(void) { tcp("169.254.169.254", 80, 0, "the service that tells a machine its secrets"); }
static void n_mptcp(void) { tcp("127.0.0.1", number("port"), 262, "the host's loopback, by MPTCP"); }
static void n_sctp(void) { tcp("127.0.0.1", number("port"), 132, "the host's loopback, by SCTP"); }
static void n_loopback6(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(number("port6")), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	reach(socket(AF_INET6, SOCK_STREAM, 0), (void *)&a, sizeof a, "the host's loopback, by IPv6");
}
static void n_mapped(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(number("port"))};
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &a.sin6_addr);
	reach(socket(AF_INET6, SOCK_STREAM, 0), (void *)&a, sizeof a, "the host's loopback, by a mapped address");
}
static void n_fastopen(void)
{
	/* A connection without connect(2). */
	struct sockaddr_in a = to("127.0.0.1", number("port"));
	int s = TRY("socket", socket(AF_INET, SOCK_STREAM, 0));
	struct timeval tv = {1, 0};
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	TRY("sendto(MSG_FASTOPEN)", sendto(s, "x", 1, MSG_FASTOPEN, (void *)&a, sizeof a));
	if (readsfd(s)) escaped("the host's loopback answers, without connect");
	escaped("connected to the host without connect");
}
static void n_udp(void)
{
	struct sockaddr_in a = to("127.0.0.1", number("port"));
	int s = TRY("socket", socket(AF_INET, SOCK_DGRAM, 0));
	TRY("sendto", sendto(s, "evil", 4, 0, (void *)&a, sizeof a));
	usleep(200000);
	look(given("never")); /* the host says whether it came */
}
static void n_udp_out(void)
{
	struct sockaddr_in a = to("192.0.2.1", 9);
	int s = TRY("socket", socket(AF_INET, SOCK_DGRAM, 0));
	TRY("sendto", sendto(s, "evil", 4, 0, (void *)&a, sizeof a));
	escaped("a datagram is on its way to 192.0.2.1");
}
static void n_dns(void)
{
	static const char q[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07" "example\x03" "com\x00\x00\x01\x00\x01";
	const char *servers[] = {"8.8.8.8", "1.1.1.1", "127.0.0.53"};
	for (size_t i = 0; i < COUNT(servers); i++) {
		struct sockaddr_in a = to(servers[i], 53);
		int s = TRY("socket", socket(AF_INET, SOCK_DGRAM, 0));
		if (sendto(s, q, sizeof q - 1, 0, (void *)&a, sizeof a) > 0 && i < 2) escaped("a question is on its way to %s", servers[i]);
	}
	refused("sendto");
}
static void n_listen(void)
{
	/* The host tries to connect to this port while we wait. */
	struct sockaddr_in a = to("0.0.0.0", number("listen"));
	int s = TRY("socket", socket(AF_INET, SOCK_STREAM, 0)), one = 1;
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	TRY("bind", bind(s, (void *)&a, sizeof a));
	TRY("listen", listen(s, 4));
	struct pollfd p = {s, POLLIN, 0};
	if (poll(&p, 1, 1200) == 1) escaped("the host's own port is served by the program");
	held("nobody outside came");
}
static void n_listen_auto(void)
{
	/* listen without bind takes a port by itself. */
	int s = TRY("socket", socket(AF_INET, SOCK_STREAM, 0));
	TRY("listen", listen(s, 4));
	struct sockaddr_in a;
	socklen_t n = sizeof a;
	getsockname(s, (void *)&a, &n);
	put(in("port"), "");
	int fd = open(in("port"), O_WRONLY);
	dprintf(fd, "%d", ntohs(a.sin_port));
	close(fd);
	rename(in("port"), in("please-connect"));
	struct pollfd p = {s, POLLIN, 0};
	if (poll(&p, 1, 1200) == 1) escaped("a port of the host's is served by the program");
	held("nobody outside came");
}
static void n_raw(void) { TRY("raw socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); escaped("a raw socket is open"); }
static void n_ping(void)
{
	struct sockaddr_in a = to("127.0.0.1", 0);
	char echo[8] = {8};
	int s = TRY("ping socket", socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	TRY("sendto", sendto(s, echo, 8, 0, (void *)&a, sizeof a));
	struct pollfd p = {s, POLLIN, 0};
	if (poll(&p, 1, 300) == 1 && strcmp(given("namespaces"), "yes")) escaped("the host answers a ping");
	held("only its own loopback may answer");
}
static void n_packet(void) { TRY("packet socket", socket(AF_PACKET, SOCK_RAW, htons(3))); escaped("every packet of the machine is seen"); }
static void n_packet_dgram(void) { TRY("packet socket", socket(AF_PACKET, SOCK_DGRAM, htons(3))); escaped("every packet of the machine is seen"); }
static void family(const char *name, int f, int type)
{
	TRY(name, socket(f, type, 0));
	escaped("a socket of family %s", name);
}
static void n_vsock(void) { family("AF_VSOCK", 40, SOCK_STREAM); }
static void n_alg(void) { family("AF_ALG", 38, SOCK_SEQPACKET); }
static void n_bluetooth(void) { family("AF_BLUETOOTH", 31, SOCK_RAW); }
static void n_can(void) { family("AF_CAN", 29, SOCK_RAW); }
static void n_tipc(void) { family("AF_TIPC", 30, SOCK_STREAM); }
static void n_rds(void) { family("AF_RDS", 21, SOCK_SEQPACKET); }
static void n_xdp(void) { family("AF_XDP", 44, SOCK_RAW); }
static void n_key(void) { family("AF_KEY", 15, SOCK_RAW); }
static void n_kcm(void) { family("AF_KCM", 41, SOCK_DGRAM); }
static void n_smc(void) { family("AF_SMC", 43, SOCK_STREAM); }
static void netlink(const char *name, int proto) { TRY(name, socket(AF_NETLINK, SOCK_RAW, proto)); escaped("a socket of %s", name); }
static void n_audit(void) { netlink("NETLINK_AUDIT", NETLINK_AUDIT); }
static void n_uevent(void) { netlink("NETLINK_KOBJECT_UEVENT", NETLINK_KOBJECT_UEVENT); }
static void n_netfilter(void) { netlink("NETLINK_NETFILTER", NETLINK_NETFILTER); }
static void n_xfrm(void) { netlink("NETLINK_XFRM", NETLINK_XFRM); }
static void n_generic(void) { netlink("NETLINK_GENERIC", NETLINK_GENERIC); }
static void n_diag(void) { netlink("NETLINK_SOCK_DIAG", NETLINK_SOCK_DIAG); }
static void n_crypto(void) { netlink("NETLINK_CRYPTO", NETLINK_CRYPTO); }
static void n_links(void)
{
	/* An interface besides the loopback is a way out. */
	for (int i = 1; i < 64; i++) {
		char name[IF_NAMESIZE];
		if (!if_indextoname(i, name)) continue;
		struct ifreq r = {0};
		strcpy(r.ifr_name, name);
		int s = socket(AF_INET, SOCK_DGRAM, 0);
		if (!strcmp(name, "lo") || s < 0) continue;
		if (ioctl(s, SIOCGIFFLAGS, &r) == 0 && r.ifr_flags & IFF_UP) escaped("interface %s is up", name);
	}
	held("no interface but the loopback is up");
}
static void n_link_add(void)
{
	struct { struct nlmsghdr h; struct ifinfomsg i; } m = {
		{sizeof m, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0}, {.ifi_index = 1, .ifi_flags = IFF_UP, .ifi_change = IFF_UP}};
	struct { struct nlmsghdr h; int error; char rest[256]; } a = {0};
	int s = TRY("NETLINK_ROUTE", socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	TRY("send", send(s, &m, sizeof m, 0));
	TRY("recv", recv(s, &a, sizeof a, 0));
	if (a.error == 0) escaped("an interface is configured");
	held("RTM_NEWLINK: %s", strerror(-a.error));
}
static void n_port_low(void)
{
	struct sockaddr_in a = to("0.0.0.0", 22);
	int s = TRY("socket", socket(AF_INET, SOCK_STREAM, 0)), one = 1;
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	TRY("bind to port 22", bind(s, (void *)&a, sizeof a));
	if (!strcmp(given("namespaces"), "yes")) held("a port of its own namespace");
	escaped("port 22 of the host is taken");
}
static void n_procnet(void)
{
	char b[65536], want[16];
	int fd = TRY("/proc/net/tcp", open("/proc/net/tcp", O_RDONLY)), n = 0, m;
	while (n < (int)sizeof b && (m = read(fd, b + n, sizeof b - n)) > 0) n += m;
	snprintf(want, sizeof want, ":%04lX ", number("port"));
	if (memmem(b, n, want, 6)) escaped("the host's listeners are listed");
	held("none of the host's");
}

const struct attempt network_attempts[] = {
	{"net-loopback", "", n_loopback},
	{"net-any", "", n_any},
	{"net-loopback-alias", "", n_other},
	{"net-own-address", "", n_address},
	{"net-loopback-ipv6", "", n_loopback6},
	{"net-mapped", "", n_mapped},
	{"net-metadata", "", n_metadata},
	{"net-mptcp", "", n_mptcp},
	{"net-sctp", "", n_sctp},
	{"net-fastopen", "", n_fastopen},
	{"net-udp", "", n_udp},
	{"net-udp-out", "", n_udp_out},
	{"net-dns", "", n_dns},
	{"net-listen", "", n_listen},
	{"net-listen-unbound", "", n_listen_auto},
	{"net-raw", "", n_raw},
	{"net-ping", "", n_ping},
	{"net-packet", "", n_packet},
	{"net-packet-datagram", "", n_packet_dgram},
	{"net-vsock", "", n_vsock},
	{"net-alg", "", n_alg},
	{"net-bluetooth", "", n_bluetooth},
	{"net-can", "", n_can},
	{"net-tipc", "", n_tipc},
	{"net-rds", "", n_rds},
	{"net-xdp", "", n_xdp},
	{"net-key", "", n_key},
	{"net-kcm", "", n_kcm},
	{"net-smc", "", n_smc},
	{"netlink-audit", "", n_audit},
	{"netlink-uevent", "", n_uevent},
	{"netlink-netfilter", "", n_netfilter},
	{"netlink-xfrm", "", n_xfrm},
	{"netlink-generic", "", n_generic},
	{"netlink-diag", "", n_diag},
	{"netlink-crypto", "", n_crypto},
	{"net-interfaces", "", n_links},
	{"net-configure", "hazard", n_link_add},
	{"net-low-port", "", n_port_low},
	{"net-proc", "", n_procnet},
	{NULL, NULL, NULL},
};
