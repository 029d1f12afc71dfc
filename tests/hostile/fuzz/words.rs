//! The words of each language, as they are put in and exchanged. One list a language, parted by `¦`.

/// The words of a list.
pub fn of(list: &'static str) -> Vec<&'static str> {
    list.split('¦').collect()
}

/// Of a log.
pub const LOG: &str = "\
    \"type\":\"seal\"¦\"type\":\"note\"¦\"type\":\"run.ended\"¦approval.granted¦approval.denied¦state open¦\
    state closed¦bgctl-seal-v1¦bgctl-close-v1¦bgctl-open-v1¦\"seq\":¦\"mono\":¦\"data\":{¦\"prev\":\"¦}\n¦\
    {\"v\":1,¦{\"v\":2,¦03:02¦lines 1¦\\n¦\\u000a¦sig";

/// Of a request for approval.
pub const REQUEST: &str = "\
    \"_type\":¦bgctl.dev/approval-request/v1¦\"details\":[¦\"expires\":¦\"params\":{¦\"before\":{¦\"after\":{¦\
    \"blue\":¦\"green\":¦\"covers\":{\"rollback\":[¦\"measured\":[¦\"quorum\":¦\"role\":¦\"summary\":¦\
    \"use_by\":¦\"trigger\":¦\"at_expiry\":\"hold\"¦\"route\":¦{}¦[]";

/// Of signatures and lists of keys.
pub const KEYS: &str = "\
    -----BEGIN SSH SIGNATURE-----¦-----END SSH SIGNATURE-----¦U1NIU0lH¦AAAA¦ssh-ed25519¦ecdsa-sha2-nistp256¦\
    sk-ssh-ed25519@openssh.com¦sk-ecdsa-sha2-nistp256@openssh.com¦ssh-ed25519-cert-v01@openssh.com¦ssh-rsa¦\
    namespaces=\"¦valid-before=\"2020\"¦valid-after=¦cert-authority ¦20991231Z¦*@example.com¦!¦,¦\"¦\
    rm-one@example.com¦SHA256:¦SSHKRL\n\0";

/// Of a runbook.
pub const RUNBOOK: &str = "\
    bgctl: 1¦service:¦environment:¦owners:¦roles:¦variables:¦stacks:¦routes:¦  web:¦alb:¦socket_mode:¦\
    slack_manifest:¦gates:¦steps:¦rollback:¦shift:¦bake:¦drain:¦command:¦announce:¦smoke:¦warm:¦migrate:¦\
    compare:¦schema:¦policy:¦approval:¦within:¦for:¦windows:¦max:¦min_requests:¦objective:¦prometheus:¦\
    cloudwatch:¦sql:¦http:¦${var.rule_arn}¦${env:X}¦${file:y}¦50%¦100%¦3s¦12h¦1h30m¦release-managers¦seen_at:¦\
    - id: a\n    ¦{ route: web, green: 50% }¦on_failure: continue¦lab:¦page:¦notify:¦gameday:";

/// Of PromQL.
pub const EXPRESSION: &str = "\
    sum by (color) (¦rate(¦[5s]¦[5m:1m]¦offset 5m¦{status=~\"5..\"}¦ / ¦ or ¦ unless ¦on(color)¦group_left()¦\
    histogram_quantile(0.99, ¦by (le)¦without ()¦@ end()¦bool¦clamp_max(¦label_replace(¦absent(¦) > 0¦-¦^¦2 ¦\
    vector(0)¦http_requests_total¦quantile(0.5, ";

/// Of migrations.
pub const SQL: &str = "\
    alter table¦add column¦drop column¦not null¦default now()¦create index concurrently¦on ¦users¦\
    create table¦rename to¦using btree¦check (¦references¦primary key¦unique¦$$¦update users set¦insert into¦\
    select ¦begin;¦commit;¦E'\\'¦--¦/*¦*/¦-- +goose Down\n¦do $$ begin end $$;¦create type a as enum ('x')¦\
    cast(¦::¦varchar(10)¦with x as (¦;¦domain";

/// Of a policy.
pub const POLICY: &str = "\
    bgctl_policy: 1¦persons:¦roles:¦signing:¦anchors:¦change:¦principals:¦ci:¦kind: bot¦members:¦quorum:¦\
    within:¦evidence:¦own_run:¦shared_key: refused¦security_key: required¦verify_required: true¦required:¦to:¦\
    file:¦git:¦rfc3161:¦slack:¦repository:¦ref:¦refs/notes/bgctl¦role:¦alice¦bob¦deploy[bot]¦hardware¦prompt¦\
    signed¦30m¦release-managers¦engineer@example.com¦rm-one@example.com";

/// Of the frames of PostgreSQL.
pub const POSTGRES: &str = "\
    |THEN|¦|NONCE|¦R\0\0\0\u{8}\0\0\0\0¦Z\0\0\0\u{5}I¦Z\0\0\0\u{5}T¦Z\0\0\0\u{5}E¦1\0\0\0\u{4}¦2\0\0\0\u{4}¦\
    C\0\0\0\u{d}SELECT 1\0¦n\0\0\0\u{4}¦s\0\0\0\u{4}¦I\0\0\0\u{4}¦SERROR\0¦C57014\0¦Mno\0¦P99\0¦D\0\0\0¦\
    T\0\0\0¦E\0\0\0¦N\0\0\0¦A\0\0\0¦S\0\0\0¦G\0\0\0¦H\0\0\0¦W\0\0\0¦d\0\0\0¦v\0\0\0¦SCRAM-SHA-256¦\
    SCRAM-SHA-256-PLUS¦,s=¦,i=4096¦v=¦{\"n\":1}¦[]¦\0\0¦client_encoding\0SQL_ASCII\0";

/// Of the frames of Redis.
pub const REDIS: &str = "\
    |THEN|¦+OK\r\n¦+QUEUED\r\n¦-ERR no\r\n¦-NOAUTH no\r\n¦-MOVED 1 127.0.0.1:1\r\n¦-EXECABORT no\r\n¦:1\r\n¦\
    :-2\r\n¦$-1\r\n¦*-1\r\n¦*0\r\n¦$0\r\n\r\n¦$2\r\nhi\r\n¦*2\r\n¦%1\r\n¦~1\r\n¦>2\r\n¦_\r\n¦#t\r\n¦,1.5\r\n¦\
    ,inf\r\n¦(123456789012345678901234567890\r\n¦=5\r\ntxt:x\r\n¦!5\r\nERR x\r\n¦|1\r\n+a\r\n+b\r\n¦\
    *2147483647\r\n¦$2147483647\r\n¦*1\r\n*1\r\n*1\r\n*1\r\n¦role:master\r\n¦\r\n";
